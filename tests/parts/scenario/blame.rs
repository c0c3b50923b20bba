//! Whose failure it is: a crash, a missing program, a limit of skew's, a machine that is overloaded.

use skew_core::model::{End, Fault, Outcome};
use skew_host::{Pressure, Sample};

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_soon_after_the_start_is_one_failure_of_starts() {
    let text = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["sh", "-c", "sleep 0.5; exit 3"]
[roles.other]
extends = "node"
ready = { started = true, settle = "300s", within = "600s" }
[topology]
node = { count = 1 }
other = { count = 1 }
[[check]]
name = "runs"
from = "node"
to = "other"
steps = [{ in = "from", run = ["false"] }]
"#;
    let shown = Stage::new().run(text, &["node-0@v1", "other-0@v1"]).await;
    shown.completed().check("starts", &["node-0 failed", "other-0 failed"]);
    for check in ["ready", "exit"] {
        shown.check(check, &["node-0 blocked by starts", "other-0 blocked by starts"]);
    }
    shown.check("runs", &["node-0>other-0 blocked by starts"]);
    let failed = shown.ran.observations.iter().find(|o| !o.detail.is_empty()).unwrap();
    assert_eq!(
        failed.detail,
        "node-0 exited with status 3 before it was ready".replace("node-0", failed.from.as_ref().unwrap().as_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_readiness_is_one_failure_of_exit() {
    let text = r#"
[roles.server]
recipe = { kind = "prebuilt", path = "x" }
run = ["sh", "-c", "echo up; while ! test -e ../crash; do sleep 0.02; done; exit 7"]
ready = { log = "up", within = "60s" }
[roles.client]
recipe = { kind = "prebuilt", path = "x" }
run = ["sh", "-c", "echo up; while ! test -e ../crash; do sleep 0.02; done; sleep 1; exit 8"]
ready = { log = "up", within = "60s" }
depends = ["server"]
[roles.bystander]
recipe = { kind = "prebuilt", path = "x" }
run = ["sleep", "600"]
ready = { started = true, settle = "1ms" }
[topology]
server = { count = 1 }
client = { count = 1 }
bystander = { count = 2 }
[[check]]
name = "works"
from = "client"
to = "bystander"
within = "300s"
steps = [{ in = "to", run = ["true"] }]
[[check]]
name = "crashes"
from = "bystander"
to = "server"
after = "works"
within = "300s"
steps = [{ in = "from", run = ["sh", "-c", "touch ../crash; sleep 2; echo the server is gone; exit 1"] }]
[[check]]
name = "waits"
on = "node"
role = "bystander"
steps = [{ run = ["sleep", "3"] }]
[[check]]
name = "reads"
from = "client"
to = "bystander"
steps = [{ in = "to", run = ["false"] }]
[[check]]
name = "own"
from = "bystander"
to = "bystander"
symmetric = true
steps = [{ in = "from", run = ["false"] }]
[[expect]]
name = "last-words"
log = { role = "server", matches = "never printed", within = "300s" }
"#;
    let seats = ["server-0@v1", "client-0@v1", "bystander-0@v1", "bystander-1@v2"];
    let shown = Stage::new().run(text, &seats).await;
    shown
        .completed()
        .check("exit", &["bystander-0 ok", "bystander-1 ok", "client-0 blocked by exit", "server-0 failed"]);
    shown.check("works", &["client-0>bystander-0 ok", "client-0>bystander-1 ok"]);
    shown.check("crashes", &["bystander-0>server-0 blocked by exit", "bystander-1>server-0 blocked by exit"]);
    shown.check("reads", &["client-0>bystander-0 blocked by exit", "client-0>bystander-1 blocked by exit"]);
    shown.check("own", &["bystander-0>bystander-1 failed"]);
    shown.check("last-words", &["server-0 blocked by exit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_image_lacks_is_the_versions_failure_and_what_the_machine_lacks_an_error() {
    let text = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["sleep", "600"]
ready = { started = true, settle = "1ms" }
[roles.lost]
recipe = { kind = "prebuilt", path = "x" }
run = ["no-such-tool"]
[roles.bare]
recipe = { kind = "prebuilt", path = "x" }
run = ["{{ root }}/no-such-tool"]
[roles.scripted]
recipe = { kind = "prebuilt", path = "x" }
run = ["sh", "-c", "no-such-tool"]
[roles.probed]
extends = "node"
ready = { command = ["no-such-tool"], within = "500ms" }
[topology]
node = { count = 1 }
lost = { count = 1 }
bare = { count = 1 }
scripted = { count = 1 }
probed = { count = 1 }
[[check]]
name = "image"
on = "node"
role = "node"
steps = [{ run = ["{{ root }}/no-such-tool"] }]
[[check]]
name = "image-by-shell"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "{{ root }}/no-such-tool"] }]
[[check]]
name = "own-status"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "echo no luck >&2; exit 127"] }]
[[check]]
name = "machine"
on = "node"
role = "node"
steps = [{ run = ["no-such-tool"] }]
[[check]]
name = "machine-by-shell"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "no-such-tool"] }]
"#;
    let seats = ["node-0@v1", "lost-0@v1", "bare-0@v1", "scripted-0@v1", "probed-0@v1"];
    let shown = Stage::new().run(text, &seats).await;
    shown.completed();
    for (check, want) in [
        ("image", "failed"),
        ("image-by-shell", "failed"),
        ("own-status", "failed"),
        ("machine", "error"),
        ("machine-by-shell", "error"),
    ] {
        shown.check(check, &[&format!("node-0 {want}")]);
    }
    shown.check("starts", &["bare-0 failed", "lost-0 error", "node-0 ok", "probed-0 ok", "scripted-0 error"]);
    let ready = ["bare-0 blocked by starts", "lost-0 blocked by starts", "node-0 ok", "probed-0 error"];
    shown.check("ready", &[&ready[..], &["scripted-0 blocked by starts"]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_try_that_tells_most_is_kept_and_what_was_printed_until_the_deadline() {
    let text = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["sleep", "600"]
ready = { started = true, settle = "1ms" }
[topology]
node = { count = 1 }
[[check]]
name = "retried"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "test -e tried && exec sleep 600; touch tried; echo THE REAL REASON >&2; exit 1"], stdout = "ok", within = "3s" }]
[[check]]
name = "cut"
on = "node"
role = "node"
within = "3s"
steps = [{ run = ["sh", "-c", "echo so far; exec sleep 600"] }]
"#;
    let shown = Stage::new().run(text, &["node-0@v1"]).await;
    shown.completed();
    let detail = shown.detail("retried");
    let want = "expected exit status 0, found exit status 1 (step 1 in node-0: sh; tried for ";
    assert!(detail.starts_with(want) && detail.ends_with(" s)\nstderr: THE REAL REASON"), "{detail}");
    let want = "expected its end within 3 s, found it still running (step 1 in node-0: sh)\nstdout: so far";
    assert_eq!(shown.detail("cut"), want);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_skew_cannot_keep_or_look_at_is_an_error() {
    let text = r#"
[roles.node]
recipe = { kind = "prebuilt", path = "x" }
run = ["sh", "-c", "head -c 9000 /dev/zero | tr '\\0' x; echo the end; echo up; exec sleep 600"]
ready = { log = "^up$", within = "60s" }
[topology]
node = { count = 1 }
[[check]]
name = "logged"
on = "node"
role = "node"
steps = [{ log = "the end", within = "300ms" }]
[[check]]
name = "captured"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "head -c 20000 /dev/zero | tr '\\0' x"], capture = "much" }]
[[check]]
name = "matched"
on = "node"
role = "node"
steps = [{ run = ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo the end"], stdout_matches = "the end" }]
"#;
    let shown = Stage::new().run(text, &["node-0@v1"]).await;
    shown.completed();
    for check in ["logged", "captured", "matched"] {
        shown.check(check, &["node-0 error"]);
    }
    assert_eq!(
        shown.detail("logged"),
        "expected a line of the log that matches /the end/, found none; skew could not look at all of 1 line of the log, which \
         were too many at once or too long (step 1 in node-0: log)"
    );
    let captured = "expected at most 16 KiB to capture as \"much\", found 20 KiB (step 1 in node-0)";
    assert_eq!(shown.detail("captured"), captured);
    assert!(
        shown.detail("matched").contains("; skew reads no more than 256 KiB of it (step 1"),
        "{}",
        shown.detail("matched")
    );
}

/// A machine as it was when limits of 20 s called pairs flaky that work.
fn overloaded() -> Pressure {
    Pressure::seen([Sample { runnable: Some(30.0), cores: 2, cpu: Some(1.0), ..Sample::default() }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_passes_under_overload_is_the_infrastructure() {
    let part = |ready: &str, check: &str| {
        format!(
            r#"
[roles.node]
recipe = {{ kind = "prebuilt", path = "x" }}
run = ["sleep", "600"]
ready = {{ {ready} }}
[topology]
node = {{ count = 1 }}
[[check]]
name = "works"
on = "node"
role = "node"
{check}
"#
        )
    };
    let ready = "started = true, settle = \"1ms\"";
    let hangs = "within = \"300ms\"\nsteps = [{ run = [\"sleep\", \"600\"] }]";
    for (text, what) in [
        (
            part("log = \"never\", within = \"300ms\"", "steps = [{ run = [\"true\"] }]"),
            "node-0 was not ready within 300 ms",
        ),
        (part(ready, hangs), "step 1 in node-0: expected its end within 300 ms, found it still running"),
        (
            part(ready, "steps = [{ run = [\"echo\", \"b\"], stdout = \"a\", within = \"300ms\" }]"),
            "step 1 in node-0: expected stdout \"a\", found \"b\"",
        ),
    ] {
        let mut stage = Stage::new();
        stage.pressure = overloaded();
        let shown = stage.run(&text, &["node-0@v1"]).await;
        let End::Infrastructure { fault, detail } = &shown.ran.end else { panic!("{:?}", shown.ran.end) };
        let want = "the machine was overloaded: on average 15 processes were ready to run for each core; ";
        assert_eq!((*fault, detail.as_str()), (Fault::Overload, format!("{want}{what}").as_str()));
        // The same is a failure of the system on a machine that has time.
        let shown = Stage::new().run(&text, &["node-0@v1"]).await;
        assert!(shown.completed().ran.observations.iter().any(|o| o.result == Outcome::Failed));
    }
    // A wrong answer is wrong however long it took.
    let mut stage = Stage::new();
    stage.pressure = overloaded();
    let shown = stage.run(&part(ready, "steps = [{ run = [\"false\"] }]"), &["node-0@v1"]).await;
    shown.completed().check("works", &["node-0 failed"]);
}
