//! Scenarios with real processes: nodes that work, nodes that do not, and drivers that lie.

use crate::fake_node;
mod blame;
mod stage;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skew_core::model::{End, Fault};
use skew_core::text::duration;
use stage::{Shown, Stage};

/// What nobody waits for in a test that passes: half of what a spec allows for what must end sooner.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs with a bound that ends, and with larger ones as long as the machine was too slow for what is to come before it.
async fn within(
    bounds: [Duration; 3],
    is_slow: impl Fn(&Shown) -> bool,
    run: impl AsyncFn(Duration) -> Shown,
) -> Shown {
    let [first, second, last] = bounds;
    for bound in [first, second] {
        let shown = run(bound).await;
        if !is_slow(&shown) {
            return shown;
        }
    }
    run(last).await
}

/// Bounds for [`within`].
const BOUNDS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(5), Duration::from_secs(60)];

/// A role that serves, refuses lines with `v3` when it is `v1`, and is ready when its port is.
const NODE: &str = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/fake_node", "serve", "{{ self.bind }}:{{ self.ports.api }}", "{% if self.version == 'v1' %}from v3{% endif %}", "hang"]
ports = { api = 7000 }
ready = { tcp = "api", within = "60s" }
"#;

const SPEAKS: &str = r#"
[[check]]
name = "speaks"
from = "node"
to = "node"
within = "60s"
steps = [
  { in = "from", run = ["{{ root }}/fake_node", "call", "{{ to.address }}:{{ to.ports.api }}", "{{ nonce }} from {{ from.version }}"], stdout = "echo {{ nonce }} from {{ from.version }}" },
]
"#;

fn with(parts: &[&str]) -> String {
    parts.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_done_between_every_pair() {
    let text = with(&[NODE, "[topology]\nnode = { seats = 3 }\n", SPEAKS]);
    let shown = Stage::new().run(&text, &["node-0@v1", "node-1@v2", "node-2@v3"]).await;
    shown.completed().check(
        "speaks",
        &[
            "node-0>node-1 ok",
            "node-0>node-2 ok",
            "node-1>node-0 ok",
            "node-1>node-2 ok",
            "node-2>node-0 failed",
            "node-2>node-1 ok",
        ],
    );
    for check in ["starts", "ready", "exit"] {
        shown.check(check, &["node-0 ok", "node-1 ok", "node-2 ok"]);
    }
    assert!(shown.detail("speaks").starts_with("expected stdout \"echo "), "{}", shown.detail("speaks"));
    assert!(
        shown.detail("speaks").contains(", found \"refused\" (step 1 in node-2: fake_node"),
        "{}",
        shown.detail("speaks")
    );
    let refusal = shown.ran.excerpts.iter().find(|excerpt| excerpt.node.as_str() == "node-0").unwrap();
    assert!(refusal.lines.iter().any(|line| line.contains("error: refused")), "{refusal:?}");
    assert!(shown.ran.exits.is_empty() && !shown.ran.timeline.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_start_blocks_what_needs_the_node() {
    let crash = r#"
[roles.other]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/fake_node", "err", "fatal: no disk", "exit", "4"]
ready = { log = "never said", within = "300s" }
[roles.late]
extends = "node"
depends = ["other"]
[topology]
node = { seats = 1 }
other = { count = 1 }
late = { count = 1 }
[[check]]
name = "meets"
from = "node"
to = "late"
steps = [{ in = "from", run = ["/bin/true"] }]
"#;
    let begun = Instant::now();
    let shown = Stage::new().run(&with(&[NODE, crash]), &["node-0@v1", "other-0@v2", "late-0@v1"]).await;
    shown.completed().check("starts", &["late-0 blocked by starts", "node-0 ok", "other-0 failed"]);
    shown.check("ready", &["late-0 blocked by starts", "node-0 ok", "other-0 blocked by starts"]);
    shown.check("exit", &["late-0 blocked by starts", "node-0 ok", "other-0 blocked by starts"]);
    shown.check("meets", &["node-0>late-0 blocked by starts"]);
    assert!(begun.elapsed() < PATIENCE, "an exit is seen at once");
    let failed = shown.ran.observations.iter().find(|o| o.detail.contains("exited with status 4"));
    assert!(failed.is_some(), "{:#?}", shown.ran.observations);
    assert_eq!(shown.ran.exits.len(), 1);
    assert!(shown.ran.excerpts[0].lines.contains(&"fatal: no disk".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_later_is_an_exit() {
    let check = r#"
[topology]
node = { seats = 2 }
[[check]]
name = "kills"
from = "node"
to = "node"
symmetric = true
within = "300s"
steps = [{ in = "from", run = ["{{ root }}/fake_node", "call", "{{ to.address }}:{{ to.ports.api }}", "die"], stdout = "never", within = "300s" }]
[[check]]
name = "later"
from = "node"
to = "node"
steps = [{ in = "from", run = ["/bin/true"] }]
"#;
    let begun = Instant::now();
    let shown = Stage::new().run(&with(&[NODE, check]), &["node-0@v2", "node-1@v2"]).await;
    shown.completed().check("kills", &["node-0>node-1 blocked by exit"]);
    shown.check("exit", &["node-0 ok", "node-1 failed"]);
    shown.check("ready", &["node-0 ok", "node-1 ok"]);
    shown.check("later", &["node-0>node-1 blocked by exit", "node-1>node-0 blocked by exit"]);
    assert!(begun.elapsed() < PATIENCE, "nobody waits for the dead");
    assert_eq!(shown.ran.exits[0].code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_was_missing() {
    for (ready, want) in [
        (r#"tcp = "api""#, "expected port api to accept connections within"),
        (
            r#"http = "api", path = "/health""#,
            "expected GET /health on port api to answer with status 200 to 299 within",
        ),
        (r#"log = "ready to (serve|go)""#, "expected a line of its log that matches /ready to (serve|go)/ within"),
        (r#"command = ["{{ root }}/fake_node", "err", "not yet", "exit", "1"]"#, "\nstderr: not yet"),
    ] {
        let untried = |shown: &Shown| shown.detail("ready").contains("nothing: it was not tried");
        let shown = within(BOUNDS, untried, async |bound| {
            let text = format!(
                r#"
[roles.node]
recipe = {{ kind = "prebuilt", path = "x" }}
run = ["{{{{ root }}}}/fake_node", "hang"]
ports = {{ api = 7000 }}
ready = {{ {ready}, within = "{}ms" }}
[topology]
node = {{ count = 1 }}
"#,
                bound.as_millis()
            );
            Stage::new().run(&text, &["node-0@v1"]).await
        });
        let shown = shown.await;
        shown.completed().check("starts", &["node-0 ok"]);
        shown.check("ready", &["node-0 failed"]);
        shown.check("exit", &["node-0 ok"]);
        let detail = shown.detail("ready");
        let told = |bound: &Duration| detail.contains(&format!(" within {}, found ", duration(*bound)));
        assert!(detail.contains(want) && BOUNDS.iter().any(told), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_readiness_and_step_works() {
    let text = r#"
[roles.a]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/fake_node", "cat", "etc/app.conf", "serve", "{{ self.bind }}:{{ self.ports.api }}", "bad"]
args = ["log", "ready to go", "hang"]
ports = { api = 7000 }
ready = { http = "api", path = "/", within = "60s" }
env = { COLOUR = "{{ axes.colour | default('green') }}" }
config = { "etc/app.conf" = { text = "name = {{ self.name }}\npassword = {{ secret('db') }}\n", secret = true } }
[roles.b]
extends = "a"
ready = { log = "^ready to go$", within = "60s" }
[roles.c]
extends = "a"
ready = { command = ["{{ root }}/fake_node", "call", "{{ self.address }}:{{ self.ports.api }}", "x"], within = "60s" }
[topology]
a = { count = 1 }
b = { count = 1 }
c = { count = 1 }
[[check]]
name = "steps"
from = "a"
to = "b"
via = ["c"]
steps = [
  { in = "from", run = ["{{ root }}/fake_node", "env", "COLOUR"], stdout = "green", capture = "colour" },
  { in = "c", run = ["{{ via.root }}/fake_node", "call", "{{ to.address }}:{{ to.ports.api }}", "it is {{ colour }}"], stdout_matches = "^echo it is gre+n" },
  { in = "to", log = "heard it is {{ colour }}", within = "60s" },
  { in = "to", http = "api", path = "/x", status = 200, json = { "/status" = "up", "/peers/1" = "2" } },
]
[[check]]
name = "unsupported"
on = "node"
role = "a"
steps = [{ run = ["{{ root }}/fake_node", "log", "no such thing", "exit", "77"] }]
[[check]]
name = "error"
on = "node"
role = "a"
steps = [{ run = ["/nothing/here"] }]
[[check]]
name = "slow"
on = "network"
within = "300ms"
steps = [{ in = "a", run = ["{{ root }}/fake_node", "hang"] }]
"#;
    let shown = Stage::new().run(text, &["a-0@v1", "b-0@v1", "c-0@v2"]).await;
    shown.completed().check("ready", &["a-0 ok", "b-0 ok", "c-0 ok"]);
    shown.check("steps", &["a-0>b-0 via c-0 ok"]);
    shown.check("unsupported", &["a-0 unsupported"]);
    shown.check("error", &["a-0 error"]);
    shown.check("slow", &[" failed"]);
    assert!(shown.logs.contains("name = a-0") && shown.logs.contains("password = [secret]"), "{}", shown.logs);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_steps_are_observations() {
    let text = r#"
[roles.doorman]
extends = "node"
[roles.member]
extends = "node"
depends = ["doorman"]
[[roles.member.init]]
check = "registers"
run = ["{{ root }}/fake_node", "call", "{{ nodes.doorman[0].address }}:{{ nodes.doorman[0].ports.api }}", "register from {{ self.version }}", "exit", "{% if self.version == 'v3' %}5{% else %}0{% endif %}"]
[topology]
doorman = { count = 1 }
member = { seats = 2 }
[[check]]
name = "registers"
from = "member"
to = "doorman"
init = true
[[check]]
name = "speaks"
from = "member"
to = "member"
after = "registers"
steps = [{ in = "from", run = ["/bin/true"] }]
"#;
    let shown = Stage::new().run(&with(&[NODE, text]), &["doorman-0@v1", "member-0@v2", "member-1@v3"]).await;
    shown.completed().check("registers", &["member-0>doorman-0 ok", "member-1>doorman-0 failed"]);
    shown.check("starts", &["doorman-0 ok", "member-0 ok", "member-1 blocked by registers"]);
    shown.check("ready", &["doorman-0 ok", "member-0 ok", "member-1 blocked by registers"]);
    shown.check("exit", &["doorman-0 ok", "member-0 ok", "member-1 blocked by registers"]);
    shown.check("speaks", &["member-0>member-1 blocked by registers", "member-1>member-0 blocked by registers"]);
    assert!(
        shown.detail("registers").starts_with("expected exit status 0, found exit status 5 (init step 1: fake_node)"),
        "{}",
        shown.detail("registers")
    );
}

fn driven(script: &str, driver: &str) -> String {
    format!(
        r#"{NODE}
[roles.driver]
recipe = {{ kind = "prebuilt", path = "x" }}
depends = ["node"]
run = ["{{{{ root }}}}/fake_node", {script}]
[topology]
node = {{ seats = 3 }}
driver = {{ count = 1 }}
[[driver]]
role = "driver"
{driver}
[[check]]
name = "pay"
from = "node"
to = "node"
driver = "driver"
[[check]]
name = "receipt"
from = "node"
to = "node"
driver = "driver"
after = "pay"
"#
    )
}

fn pay(check: &str, from: &str, to: &str, result: &str) -> String {
    let json = format!(
        r#"{{"skew":"observation","check":"{check}","from":"{from}","to":"{to}","result":"{result}","detail":"said so"}}"#
    );
    format!("\"log\", '{json}'")
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_report() {
    let script = [
        "\"cat\", \"network.json\", \"log\", \"\"".to_owned(),
        pay("pay", "node-0", "node-1", "ok"),
        pay("pay", "node-0", "node-1", "ok"),
        pay("pay", "node-1", "node-0", "failed"),
        pay("receipt", "node-1", "node-0", "failed"),
        pay("receipt", "node-0", "node-1", "ok"),
        pay("pay", "node-0", "node-9", "ok"),
        "\"exit\", \"0\"".to_owned(),
    ]
    .join(", ");
    let mut stage = Stage::new();
    stage.asks = vec!["pay: node@v1 -> node@v2", "pay: node@v1 -> node@v3", "receipt: node@v1 -> node@v2"];
    let text = driven(&script, "within = \"10s\"\ncomplete = true");
    let shown = stage.run(&text, &["node-0@v1", "node-1@v2", "node-2@v3", "driver-0@v1"]).await;
    shown.completed().check("pay", &["node-0>node-1 ok", "node-0>node-2 error", "node-1>node-0 failed"]);
    shown.check("receipt", &["node-0>node-1 ok", "node-1>node-0 blocked by pay"]);
    shown.check("exit", &["driver-0 ok", "node-0 ok", "node-1 ok", "node-2 ok"]);
    let paid = shown.ran.observations.iter().find(|o| o.check.as_str() == "pay").unwrap();
    assert_eq!((paid.count, paid.reporter.as_ref().unwrap().as_str()), (2, "driver-0"));
    assert!(shown.ran.timeline.iter().any(|moment| moment.what.contains("node-9")), "{:?}", shown.ran.timeline);
    for part in [r#""seed":7"#, r#""generation":0"#, r#""name":"node-2""#, r#""version":"v3""#, r#""api":7000"#] {
        assert!(shown.logs.contains(part), "{part}: {}", shown.logs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_blocks_what_it_did_not_report() {
    let script = [pay("pay", "node-0", "node-1", "ok"), "\"exit\", \"9\"".to_owned()].join(", ");
    let mut stage = Stage::new();
    stage.asks = vec!["pay: node@v1 -> node@v2", "pay: node@v2 -> node@v1"];
    let shown = stage.run(&driven(&script, "within = \"10s\""), &["node-0@v1", "node-1@v2", "driver-0@v1"]).await;
    shown.completed().check("pay", &["node-0>node-1 ok", "node-1>node-0 blocked by exit"]);
    shown.check("exit", &["driver-0 failed", "node-0 ok", "node-1 ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_is_stopped() {
    let script = [pay("pay", "node-0", "node-1", "ok"), "\"ignore-term\", \"hang\"".to_owned()].join(", ");
    let unheard = |shown: &Shown| shown.of("pay").iter().all(|line| line.ends_with("missing"));
    let shown = within(BOUNDS, unheard, async |bound| {
        let mut stage = Stage::new();
        stage.asks = vec!["pay: node@v1 -> node@v2", "pay: node@v2 -> node@v1"];
        let text = driven(&script, &format!("within = \"{}ms\"", bound.as_millis()))
            .replace("depends = [\"node\"]", "depends = [\"node\"]\nstop = { grace = \"100ms\" }");
        stage.run(&text, &["node-0@v1", "node-1@v2", "driver-0@v1"]).await
    });
    let shown = shown.await;
    shown.completed().check("pay", &["node-0>node-1 ok", "node-1>node-0 missing"]);
    shown.check("exit", &["driver-0 ok", "node-0 ok", "node-1 ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expectations_hold_or_not() {
    let text = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/fake_node", "log", "version {{ self.version }}", "log", "joined", "hang"]
[roles.job]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/fake_node", "exit", "2"]
[topology]
node = { seats = 2 }
job = { count = 1 }
[[expect]]
name = "calm"
log = { role = "node", never = "version v[23]" }
[[expect]]
name = "joins"
log = { role = "node", matches = "joined", within = "60s" }
[[expect]]
name = "speaks-up"
log = { role = "node", matches = "never said", within = "300ms" }
[[expect]]
exit = { role = "job", allow = [0, 2] }
"#;
    let shown = Stage::new().run(text, &["node-0@v1", "node-1@v2", "job-0@v1"]).await;
    shown.completed().check("calm", &["node-0 ok", "node-1 failed"]);
    assert_eq!(shown.detail("calm"), "version v2");
    shown.check("joins", &["node-0 ok", "node-1 ok"]);
    shown.check("speaks-up", &["node-0 failed", "node-1 failed"]);
    shown.check("exit", &["job-0 ok", "node-0 ok", "node-1 ok"]);
    shown.check("starts", &["job-0 ok", "node-0 ok", "node-1 ok"]);
    assert!(shown.ran.exits.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_of_a_network_that_is_over_is_an_error() {
    let check = r#"
[topology]
node = { seats = 2 }
[[check]]
name = "slow"
from = "node"
to = "node"
within = "600s"
steps = [{ in = "from", run = ["{{ root }}/fake_node", "hang"] }]
"#;
    let not_up = |shown: &Shown| shown.of("ready") != ["node-0 ok", "node-1 ok"];
    let shown = within(BOUNDS, not_up, async |bound| {
        let mut stage = Stage::new();
        stage.deadline = bound;
        stage.asks = vec!["slow: node@v1 -> node@v2"];
        stage.run(&with(&[NODE, check]), &["node-0@v1", "node-1@v2"]).await
    });
    let shown = shown.await;
    shown.completed().check("slow", &["node-0>node-1 error"]);
    shown.check("ready", &["node-0 ok", "node-1 ok"]);
    let detail = shown.detail("slow");
    let told = |bound: &Duration| {
        let bound = duration(*bound);
        detail == format!("the network's time of {bound} (`[limits] network`) was over before it was observed")
    };
    assert!(BOUNDS.iter().any(told), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_no_evidence() {
    let stage = Stage::new();
    let asked = stage.path("asked");
    let check = format!(
        r#"
[topology]
node = {{ seats = 2 }}
[[check]]
name = "speaks"
from = "node"
to = "node"
within = "300s"
steps = [{{ in = "from", run = ["{{{{ root }}}}/fake_node", "write", "{}", "", "hang"] }}]
"#,
        asked.display()
    );
    let text = with(&[NODE, &check]);
    let stop = async {
        let begun = Instant::now();
        while !asked.exists() {
            assert!(begun.elapsed() < PATIENCE, "no check is done");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stage.stop.send(true).unwrap();
    };
    let begun = Instant::now();
    let (shown, ()) = tokio::join!(stage.run(&text, &["node-0@v1", "node-1@v2"]), stop);
    let End::Infrastructure { fault, .. } = &shown.ran.end else { panic!("{:?}", shown.ran.end) };
    assert_eq!(*fault, Fault::Deadline);
    assert!(shown.of("speaks").is_empty() && begun.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_a_port_is_the_infrastructure() {
    let stage = Stage::new();
    let stolen = stage.path("stolen");
    let text = format!(
        r#"
[roles.node]
recipe = {{ kind = "prebuilt", path = "x" }}
run = ["{{{{ root }}}}/fake_node", "await", "{}", "serve", "{{{{ self.bind }}}}:{{{{ self.ports.api }}}}", "bad", "hang"]
ports = {{ api = 7000 }}
ready = {{ log = "listening", within = "60s" }}
[topology]
node = {{ count = 1 }}
"#,
        stolen.display()
    );
    let steal = async {
        // As soon as the network has an address, somebody else listens there.
        let file = stage.path(&format!("run/networks/{}/network.json", stage.attempt));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(address) = record.pointer("/nodes/0/address").and_then(|a| a.as_str()) {
                let port = record.pointer("/nodes/0/ports/api").unwrap();
                let stranger = std::net::TcpListener::bind(format!("{address}:{port}")).unwrap();
                std::fs::write(&stolen, "").unwrap();
                return stranger;
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (shown, _stranger) = tokio::join!(stage.run(&text, &["node-0@v1"]), steal);
    let End::Infrastructure { fault, detail } = &shown.ran.end else { panic!("{:?}", shown.ran.end) };
    assert_eq!(*fault, Fault::Port, "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_network_goes_on() {
    let mut stage = Stage::new();
    stage.keep = true;
    let text = with(&[NODE, "[topology]\nnode = { seats = 2 }\n", SPEAKS]);
    let shown = stage.run(&text, &["node-0@v1", "node-1@v2"]).await;
    shown.completed().check("speaks", &["node-0>node-1 ok", "node-1>node-0 ok"]);
    let network = shown.ran.network.as_ref().unwrap();
    assert!(network.places().iter().all(|place| network.is_running(&place.node)));
    network.close().await.unwrap();
}

/// A role that exists already, on a port of this test's own.
fn archive(port: u16, within: &str) -> String {
    format!(
        r#"
[roles.archive]
external = "localhost"
ports = {{ http = {port} }}
ready = {{ http = "http", within = "{within}" }}
[topology]
node = {{ seats = 1 }}
archive = {{ count = 1 }}
[[check]]
name = "archives"
from = "node"
to = "archive"
within = "60s"
steps = [
  {{ in = "to", http = "http", path = "/{{{{ from.name }}}}" }},
  {{ in = "from", run = ["{{{{ root }}}}/fake_node", "call", "{{{{ to.address }}}}:{{{{ to.ports.http }}}}", "GET /by-hand HTTP/1.0"] }},
]
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_node_is_reached_and_left_alone() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = Arc::clone(&paths);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            asked.lock().unwrap().extend(line.split_whitespace().nth(1).map(str::to_owned));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.ok();
        }
    });
    let text = with(&[NODE, &archive(port, "60s")]);
    let shown = Stage::new().run(&text, &["node-0@v1", "archive-0@external"]).await;
    shown.completed().check("archives", &["node-0>archive-0 ok"]);
    shown.check("ready", &["archive-0 ok", "node-0 ok"]);
    serving.abort();
    let paths = paths.lock().unwrap();
    assert!(paths.contains(&"/node-0".to_owned()) && paths.contains(&"/by-hand".to_owned()), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_node_that_is_not_there_is_nobodys_failure() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let text = with(&[NODE, &archive(port, "300ms")]);
    let shown = Stage::new().run(&text, &["node-0@v1", "archive-0@external"]).await;
    let End::Infrastructure { fault, detail } = &shown.ran.end else { panic!("{:?}", shown.ran.end) };
    assert_eq!(*fault, Fault::Backend);
    assert!(detail.contains("reach the external archive-0"), "{detail}");
}
