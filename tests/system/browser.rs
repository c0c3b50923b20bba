//! A real browser, driven by chromedriver: what a page shows, what it asks of others, and what an accessibility engine
//! says of it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use skew_testing::needs::skipped;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A browser of its own, killed with everything that it started.
pub(crate) struct Browser {
    driver: Child,
    url: String,
    pub client: Client,
    _profile: TempDir,
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    candidates.into_iter().find(|file| file.is_file())
}

impl Browser {
    /// None when the machine has no browser.
    pub(crate) async fn open(test: &str, page: &Path) -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) = (find(&["chromium", "chromium-browser"]), find(&["chromedriver"]))
        else {
            skipped(test, "chromium and chromedriver are not installed");
            return None;
        };
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().unwrap())
        });
        let url = format!("http://127.0.0.1:{}", port.expect("chromedriver says where it listens"));
        // Its pipe is read to the end, so that it never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--window-size=1400,1000",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 300_000 },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE));
        let client = ClientBuilder::new(connector).capabilities(capabilities).connect(&url).await;
        let browser = Self { driver, url, client: client.unwrap(), _profile: profile };
        browser.client.goto(&format!("file://{}", page.display())).await.unwrap();
        Some(browser)
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let element = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        element.unwrap_or_else(|error| panic!("{css}: {error}")).text().await.unwrap()
    }

    pub(crate) async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"));
        // Not below what stays at the top of the window.
        let centred = "arguments[0].scrollIntoView({ block: 'center', inline: 'center' })";
        self.client.execute(centred, vec![serde_json::to_value(&element).unwrap()]).await.unwrap();
        element.click().await.unwrap();
    }

    pub(crate) async fn press(&self, key: Key) -> Result<(), CmdError> {
        let value = char::from(key);
        let keys = KeyActions::new("keys".to_owned()).then(KeyAction::Down { value }).then(KeyAction::Up { value });
        self.client.perform_actions(keys).await
    }

    /// Waits until a script's answer is true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.run(script).await != json!(true) {
            assert!(std::time::Instant::now() < deadline, "never came: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn panel_is(&self, open: bool) {
        let script = format!("return document.getElementById('panel').hidden === {}", !open);
        self.until(if open { "the panel" } else { "the panel's end" }, &script).await;
    }

    /// The panel lies over the page, where its reader looks.
    pub(crate) async fn check_panel_in_sight(&self) {
        let middle = "const box = document.getElementById('panel').getBoundingClientRect();
          const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return Boolean(there && there.closest('#panel')) && box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth";
        assert_eq!(self.run(middle).await, json!(true));
    }

    /// What chromedriver answers to a command of its own.
    async fn driver(&self, command: &str, body: &Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/{command}", self.url);
        skew_host::choose_tls();
        let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].take()
    }

    /// The entries of one of chromedriver's logs.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.driver("se/log", &json!({ "type": kind })).await;
        entries.as_array().unwrap_or_else(|| panic!("{entries}")).clone()
    }

    /// Makes the browser one of a screen so large, which may be a phone's: no window is as narrow.
    pub(crate) async fn screen(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.driver("goog/cdp/execute", &command).await;
    }

    /// Makes the browser one whose user likes it light or dark.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.driver("goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": media })).await;
    }

    /// Asserts that axe-core finds nothing wrong with what some selectors choose, and did look at its colours.
    pub(crate) async fn check_accessible(&self, axe: &str, context: &Value) {
        self.run(axe).await;
        let script = "const [context, done] = arguments;
          axe.run(context, { resultTypes: ['violations'] }).then((all) => done({
            wrong: all.violations.map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.target + ' ' + node.failureSummary).join('; ')),
            colours: all.passes.some((one) => one.id === 'color-contrast'),
          }), (error) => done(String(error)))";
        let found = self.client.execute_async(script, vec![context.clone()]).await.unwrap();
        assert_eq!(found, json!({ "wrong": [], "colours": true }));
    }

    /// Nothing ran, nothing was asked of anyone, nothing went wrong.
    pub(crate) async fn check_harmless(&self) {
        assert_eq!(self.run("return typeof window.pwned").await, json!("undefined"));
        assert_eq!(self.run("return performance.getEntriesByType('resource').length").await, json!(0));
        assert_eq!(self.run("return document.images.length").await, json!(0));
        let console = self.log("browser").await;
        assert_eq!(console, Vec::<Value>::new(), "the console is silent");
        let mut asked = 0;
        for entry in self.log("performance").await {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let (method, params) = (&message["message"]["method"], &message["message"]["params"]);
            // The browser begins with a page of its own, which asks for pieces of itself.
            let is_ours = params["documentURL"].as_str().is_some_and(|url| url.starts_with("file://"));
            if method == "Network.requestWillBeSent" && is_ours {
                let url = params["request"]["url"].as_str().unwrap().to_owned();
                assert!(url.starts_with("file://") || url.starts_with("data:"), "asked for {url}");
                asked += 1;
            }
        }
        assert!(asked > 0, "the page itself was seen being asked for");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.driver.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}
