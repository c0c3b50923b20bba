//! The demo system itself, without skew: its program is built from its history and run by hand, and what it does is
//! held against `examples/ledger/truth.toml`, pair by pair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use skew::demo::{Truth, replay};
use skew_core::model::{Cell, Digest};
use tempfile::TempDir;

const TRUTH: &str = include_str!("../../examples/ledger/truth.toml");
const RECIPE: &str = include_str!("../../images/ledger/ledger.toml");

/// Known good in every role.
const GOOD: &str = "v1.12.0";
const FLAKY: &str = "v1.9.0";
/// It sends compact payments to everybody …
const TAKES_HINTS: &str = "v1.10.0";
/// … once this one says that it wants them.
const GIVES_HINTS: &str = "v1.11.0";

/// Every version that builds, from old to new.
const VERSIONS: &[&str] = &[
    "v1.0.0",
    "v1.1.0",
    "v1.2.0",
    "v1.3.0",
    "v1.4.0",
    "v1.5.0",
    "v1.7.0",
    "v1.8.0",
    FLAKY,
    TAKES_HINTS,
    GIVES_HINTS,
    GOOD,
];

static PROGRAMS: LazyLock<Programs> = LazyLock::new(Programs::load);

/// A binary for each version, built once for all the processes that run these tests.
struct Programs {
    built: BTreeMap<String, PathBuf>,
    log_of_unbuilt: BTreeMap<String, String>,
}

impl Programs {
    fn load() -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ledger_program");
        std::fs::create_dir_all(&home).expect("a directory");
        let lock = File::create(home.join("lock")).expect("a file");
        lock.lock().expect("the lock");
        let scratch = fresh();
        let repository = scratch.path().join("ledger");
        replay(&repository).expect("the history replays");
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            output(git.args(arguments).current_dir(&repository))
        };
        // Whatever goes into the programs names their directory.
        let commit = git(&["rev-parse", "HEAD"]);
        let recipe = Digest::of(RECIPE.as_bytes()).short();
        let home = home.join(format!("{}-{recipe}", &commit[..10]));
        let tags = git(&["tag", "--list"]);
        let tags: Vec<&str> = tags.lines().collect();
        if !home.join("done").exists() {
            for tag in &tags {
                let checkout = home.join(tag).join("checkout");
                std::fs::create_dir_all(&checkout).expect("a directory");
                let tree = format!("--work-tree={}", checkout.display());
                git(&[&tree, "checkout", "--quiet", tag, "--", "."]);
            }
            on_all_cores(&tags, |tag| build(&home.join(tag)));
            File::create(home.join("done")).expect("a file");
        }
        let mut programs = Self { built: BTreeMap::new(), log_of_unbuilt: BTreeMap::new() };
        for tag in tags {
            let (program, log) = (home.join(tag).join("ledger"), home.join(tag).join("log"));
            if program.exists() {
                programs.built.insert(tag.to_owned(), program);
            } else {
                let log = std::fs::read_to_string(log).expect("a log");
                programs.log_of_unbuilt.insert(tag.to_owned(), log);
            }
        }
        programs
    }

    fn command(&self, version: &str, command: &str) -> Command {
        let mut program = Command::new(&self.built[version]);
        program.arg(command).env_clear().env("LEDGER_SECRET", "of these tests");
        program
    }
}

fn fresh() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs the recipe's command for the checkout in this directory; leaves the program and the log there.
fn build(dir: &Path) {
    let recipe: toml::Table = RECIPE.parse().expect("the recipe is TOML");
    let run = recipe["run"].as_array().expect("run is a list");
    let run: Vec<&str> = run.iter().filter_map(toml::Value::as_str).collect();
    let source = dir.join("checkout");
    let mut build = Command::new(run[0]);
    build.args(&run[1..]).current_dir(&source).env("SOURCE", &source).env("OUT", dir);
    let done = build.output().expect("the recipe's command starts");
    std::fs::write(dir.join("log"), done.stderr).expect("written");
}

/// A server of the ledger; ends with its value. It stays in the group of this process: what ends that ends it too.
struct Server {
    name: String,
    address: String,
    data: TempDir,
    child: Child,
}

impl Server {
    fn start(version: &str, role: &str, name: &str, seed: u64, data: TempDir) -> Self {
        let mut command = PROGRAMS.command(version, role);
        command
            .args(["--name", name, "--bind", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("LEDGER_SEED", seed.to_string())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut log = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().unwrap_or_default();
        let address = address.to_owned();
        assert!(address.starts_with("127.0.0.1:"), "{name} at {version} said {line:?}");
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { name: name.to_owned(), address, data, child }
    }

    /// As `$SKEW_NETWORK` describes it.
    fn describe(&self, role: &str) -> serde_json::Value {
        let (host, port) = self.address.rsplit_once(':').expect("a port");
        let port: u16 = port.parse().expect("a number");
        serde_json::json!({
            "name": self.name,
            "role": role,
            "version": "any",
            "address": host,
            "ports": { "ledger": port },
            "generation": 0,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn register(version: &str, name: &str, doorman: &Server, data: &Path) -> bool {
    let mut command = PROGRAMS.command(version, "register");
    command
        .args(["--name", name, "--address", "127.0.0.1:1"])
        .args(["--doorman", &doorman.address, "--data"])
        .arg(data);
    command.output().expect("it runs").status.success()
}

/// An observation without what differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    check: String,
    from: String,
    to: String,
    result: String,
    detail: String,
}

/// One network, run once: what the driver observed, nodes named by number.
fn network(notary: &str, nodes: &[&str], seed: u64) -> Vec<Seen> {
    let doorman = Server::start(GOOD, "doorman", "doorman-0", seed, fresh());
    let notary = Server::start(notary, "notary", "notary-0", seed, fresh());
    let mut servers = Vec::new();
    for (ix, version) in nodes.iter().enumerate() {
        let (name, data) = (format!("node-{ix}"), fresh());
        assert!(register(version, &name, &doorman, data.path()), "{name} at {version} is admitted");
        servers.push(Server::start(version, "node", &name, seed, data));
    }
    let mut all = vec![doorman.describe("doorman"), notary.describe("notary")];
    all.extend(servers.iter().map(|server| server.describe("node")));
    let file = doorman.data.path().join("network.json");
    let text = serde_json::json!({ "seed": seed, "nodes": all }).to_string();
    std::fs::write(&file, text).expect("written");
    let mut driver = PROGRAMS.command(GOOD, "driver");
    let driver = driver.env("SKEW_NETWORK", &file);
    observations(&output(driver))
}

fn observations(log: &str) -> Vec<Seen> {
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let observation = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).expect("an observation");
        assert_eq!(json["skew"], "observation");
        let field = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        if json["check"] == "pay" {
            assert_eq!(json["via"], serde_json::json!(["notary-0"]));
            assert!(json["ms"].is_number());
        }
        Seen {
            check: field("check"),
            from: field("from"),
            to: field("to"),
            result: field("result"),
            detail: field("detail"),
        }
    };
    lines.map(observation).collect()
}

/// How the payments between two nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paid {
    Always,
    Never,
    Sometimes,
}

/// All payments of a network, by the numbers of payer and payee. Every vault must hold what it must.
fn payments(notary: &str, nodes: &[&str], seed: u64) -> BTreeMap<(usize, usize), Paid> {
    let seen = network(notary, nodes, seed);
    let number = |name: &str| -> usize {
        let digits = name.strip_prefix("node-").expect("a node");
        digits.parse().expect("a number")
    };
    let mut counts: BTreeMap<(usize, usize), [usize; 2]> = BTreeMap::new();
    let mut vaults = BTreeSet::new();
    for one in &seen {
        if one.check == "vault" {
            assert_eq!(one.result, "ok", "{one:?} in {nodes:?} with notary {notary}");
            vaults.insert(number(&one.from));
        } else {
            let pair = (number(&one.from), number(&one.to));
            counts.entry(pair).or_default()[usize::from(one.result == "ok")] += 1;
        }
    }
    assert_eq!(vaults.len(), nodes.len(), "every vault is looked into");
    assert_eq!(counts.len(), nodes.len() * (nodes.len() - 1), "every ordered pair meets");
    let paid = |[failed, ok]: [usize; 2]| {
        assert!(failed + ok >= 4, "every pair meets often enough");
        match (failed, ok) {
            (0, _) => Paid::Always,
            (_, 0) => Paid::Never,
            _ => Paid::Sometimes,
        }
    };
    let counts = counts.into_iter();
    counts.map(|(pair, count)| (pair, paid(count))).collect()
}

fn output(command: &mut Command) -> String {
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The answers in the order of the questions.
fn on_all_cores<Q: Sync, A: Send>(questions: &[Q], answer: impl Fn(&Q) -> A + Sync) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let answers: Mutex<BTreeMap<usize, A>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let ix = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = questions.get(ix) else {
                        break;
                    };
                    let answer = answer(question);
                    answers.lock().expect("no panic").insert(ix, answer);
                }
            });
        }
    });
    let answers = answers.into_inner().expect("no panic");
    answers.into_values().collect()
}

fn truth() -> Truth {
    Truth::parse(TRUTH).expect("the table is well-formed")
}

fn cell(text: &str) -> Cell {
    text.parse().expect("a cell")
}

/// Cells and the verdict that was seen, held against the table.
fn compare(seen: &BTreeMap<String, &'static str>) {
    let truth = truth();
    let mut wrong = Vec::new();
    for (text, word) in seen {
        let expected = truth.word(&cell(text));
        if expected != *word {
            wrong.push(format!("{text}: the table says {expected}, the program {word}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}

fn word(paid: Paid, broken: bool) -> &'static str {
    match paid {
        Paid::Always => "pass",
        Paid::Sometimes => "flaky",
        Paid::Never if broken => "broken",
        Paid::Never => "fail",
    }
}

/// Every pair of versions in networks of two versions, and every notary with every node.
#[test]
fn pay_is_as_the_table_says() {
    let mut pairs = Vec::new();
    for (ix, a) in VERSIONS.iter().enumerate() {
        pairs.extend(VERSIONS[ix..].iter().map(|b| (*a, *b)));
    }
    let of_pairs = on_all_cores(&pairs, |(a, b)| payments(GOOD, &[a, a, b, b], 7));
    let mut paid: BTreeMap<(&str, &str), Paid> = BTreeMap::new();
    for ((a, b), seen) in pairs.iter().zip(&of_pairs) {
        let here = [*a, *a, *b, *b];
        for ((from, to), one) in seen {
            let pair = (here[*from], here[*to]);
            let before = paid.insert(pair, *one);
            assert!(before.is_none_or(|before| before == *one), "{pair:?}");
        }
    }
    let is_broken = |version: &str| paid[&(version, version)] == Paid::Never;
    let mut seen = BTreeMap::new();
    for ((a, b), one) in &paid {
        let word = word(*one, is_broken(a) || is_broken(b));
        seen.insert(format!("pay: node@{a} -> node@{b}"), word);
    }

    // All versions at once, judged by their payments with a good node: the first, and the last for itself.
    let mut nodes = vec![GOOD];
    nodes.extend(VERSIONS);
    let of_notaries = on_all_cores(VERSIONS, |notary| payments(notary, &nodes, 8));
    for (notary, payments) in VERSIONS.iter().zip(&of_notaries) {
        let notary_is_broken = payments[&(0, VERSIONS.len())] == Paid::Never;
        for (ix, node) in (1..).zip(VERSIONS) {
            let broken = notary_is_broken || is_broken(node);
            let pays = word(payments[&(ix, 0)], broken);
            seen.insert(format!("pay: node@{node} -> notary@{notary}"), pays);
            let is_paid = word(payments[&(0, ix)], broken);
            seen.insert(format!("pay: notary@{notary} -> node@{node}"), is_paid);
        }
    }
    assert_eq!(seen.len(), 3 * VERSIONS.len() * VERSIONS.len());
    compare(&seen);
}

/// Payments that fail only because of who else is there.
#[test]
fn interference_is_as_the_table_says() {
    let without = |left_out: &[&str]| -> Vec<&'static str> {
        let kept = VERSIONS.iter().filter(|v| !left_out.contains(*v));
        kept.copied().collect()
    };
    let compositions = [without(&[GIVES_HINTS]), without(&[TAKES_HINTS]), without(&[])];
    let seen = on_all_cores(&compositions, |nodes| payments(GOOD, nodes, 9));
    let truth = truth();
    let mut sets = 0;
    for (nodes, payments) in compositions.iter().zip(&seen) {
        for ((from, to), paid) in payments {
            let (from, to) = (nodes[*from], nodes[*to]);
            let pair = format!("pay: node@{from} -> node@{to}");
            let set = format!("pay: {{node@{from}, node@{to}, node@{GIVES_HINTS}}}");
            let interferes =
                from == TAKES_HINTS && nodes.contains(&GIVES_HINTS) && truth.word(&cell(&set)) == "interference";
            let expect = match truth.word(&cell(&pair)) {
                _ if interferes => Paid::Never,
                "pass" => Paid::Always,
                "flaky" => Paid::Sometimes,
                _ => Paid::Never,
            };
            assert_eq!(*paid, expect, "{pair} among {nodes:?}");
            sets += usize::from(interferes);
        }
    }
    assert_eq!(sets, 9, "as many versions cannot read compact payments, one of them not even others");
}

/// The smallest network that shows the interference has three nodes, and every two of them are well by themselves.
#[test]
fn each_two_of_three_that_interfere_work_together() {
    let old = "v1.1.0";
    let pairs = [[old, TAKES_HINTS], [old, GIVES_HINTS], [TAKES_HINTS, GIVES_HINTS]];
    for nodes in pairs {
        let paid = payments(GOOD, &nodes, 1);
        assert!(paid.values().all(|paid| *paid == Paid::Always), "{nodes:?}");
    }
    let three = payments(old, &[old, TAKES_HINTS, GIVES_HINTS], 1);
    let failing = three.iter().filter(|(_, paid)| **paid != Paid::Always);
    assert_eq!(failing.collect::<Vec<_>>(), [(&(1, 0), &Paid::Never)]);
}

#[test]
fn a_flaky_payer_flakes_in_every_network_whatever_the_seed() {
    let seeds: Vec<u64> = (0..6).chain([u64::MAX]).collect();
    let runs = on_all_cores(&seeds, |seed| network(GOOD, &[FLAKY, FLAKY, GOOD], *seed));
    let order = |seen: &[Seen]| -> Vec<String> {
        let pays = seen.iter().filter(|one| one.check == "pay");
        pays.map(|one| one.result.clone()).collect()
    };
    for (seed, seen) in seeds.iter().zip(&runs) {
        for (from, to) in [("node-0", "node-1"), ("node-1", "node-0"), ("node-0", "node-2"), ("node-1", "node-2")] {
            let here = seen.iter().filter(|one| one.from == from && one.to == to);
            let results: BTreeSet<&str> = here.map(|one| &*one.result).collect();
            let both = ["failed", "ok"].into();
            assert_eq!(results, both, "{from} -> {to} with seed {seed}");
        }
        let mut good = seen.iter().filter(|one| one.from == "node-2");
        assert!(good.all(|one| one.result == "ok"));
    }
    let first = order(&runs[0]);
    assert!(runs.iter().any(|run| order(run) != first), "the seed matters");
}

#[test]
fn the_same_seed_gives_the_same_observations() {
    let run = || network("v1.4.0", &["v1.0.0", FLAKY, "v1.5.0", GOOD], 42);
    let first = run();
    assert_eq!(first, run());
    let failed = first.iter().filter(|one| one.result == "failed");
    let details: BTreeSet<&str> = failed.map(|one| &*one.detail).collect();
    for part in ["of no scheme known here", "is full, try later", "shows no valid admission"] {
        assert!(details.iter().any(|detail| detail.contains(part)), "{part}: {details:?}");
    }
}

#[test]
fn registers_and_audit_are_as_the_table_says() {
    let seen = on_all_cores(VERSIONS, |server| {
        let mut seen = BTreeMap::new();
        let doorman = Server::start(server, "doorman", "doorman-0", 0, fresh());
        let good = Server::start(GOOD, "doorman", "doorman-0", 0, fresh());
        let notary = Server::start(server, "notary", "notary-0", 0, fresh());
        for node in VERSIONS {
            let data = fresh();
            let admitted = register(node, "node-0", &doorman, data.path());
            let word = if admitted { "pass" } else { "fail" };
            seen.insert(format!("registers: node@{node} -> doorman@{server}"), word);
            let admitted = register(node, "node-0", &good, data.path());
            assert!(admitted, "a good doorman admits {node}");
            let mut audit = PROGRAMS.command(node, "audit");
            audit.args(["--name", "node-0", "--notary", &notary.address, "--data"]).arg(data.path());
            let word = match audit.output().expect("it runs").status.code() {
                Some(0) => "pass",
                Some(77) => "unsupported",
                Some(_) | None => "fail",
            };
            seen.insert(format!("audit: node@{node} -> notary@{server}"), word);
        }
        seen
    });
    compare(&seen.into_iter().flatten().collect());
}

#[test]
fn one_version_does_not_build() {
    let built: BTreeSet<&str> = PROGRAMS.built.keys().map(String::as_str).collect();
    assert_eq!(built, VERSIONS.iter().copied().collect());
    let unbuilt = PROGRAMS.log_of_unbuilt.iter().collect::<Vec<_>>();
    let [(version, log)] = unbuilt[..] else { panic!("{unbuilt:?}") };
    assert_eq!(version, "v1.6.0");
    assert!(log.contains("no method named `describe`"), "{log}");
    for (text, word) in [
        ("builds: notary@v1.6.0", "unbuilt"),
        ("ready: node@v1.6.0", "untested"),
        ("pay: node@v1.6.0 -> notary@v1.8.0", "untested"),
    ] {
        assert_eq!(truth().word(&cell(text)), word, "{text}");
    }
}

#[test]
fn a_notary_refuses_to_see_a_state_spent_twice() {
    let data = fresh();
    let doorman = Server::start(GOOD, "doorman", "doorman-0", 0, fresh());
    let notary = Server::start(GOOD, "notary", "notary-0", 0, fresh());
    assert!(register(GOOD, "node-0", &doorman, data.path()));
    let admission = std::fs::read_to_string(data.path().join("admission"));
    let admission = admission.expect("an admission");
    let ask = |line: &str| {
        let mut stream = TcpStream::connect(&notary.address).expect("connected");
        stream.write_all(line.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("shut down");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        reply
    };
    let spend = |tx: &str, admission: &str| {
        ask(&format!("NOTARISE tx={tx} input=state-1 payer=node-0 admission={admission}\n"))
    };
    assert!(spend("first", &admission).starts_with("OK seal=1:"));
    let again = spend("first", &admission);
    assert!(again.starts_with("OK seal=1:"), "the same one is no other");
    assert!(spend("second", &admission).contains("was%20spent%20by%20transaction%20first"));
    assert!(spend("third", "node-0:forged").contains("shows%20no%20valid%20admission"));
    for hostile in ["", "\n", "NOTARISE", "NOTARISE tx\n", "NOTARISE tx=%zz input=a\n", "LGR2\0\0\0\u{9}x", "PAY a=b\n"]
    {
        let reply = ask(hostile);
        assert_eq!(reply.is_empty(), hostile.is_empty(), "{hostile:?}: {reply:?}");
        assert!(!reply.starts_with("OK"), "{hostile:?}: {reply:?}");
    }
    let alive = spend("first", &admission);
    assert!(alive.starts_with("OK seal=1:"), "it is still there");
}
