//! A real browser opens a report: the cells are right, evidence opens by mouse and by keyboard, hostile log lines run
//! nothing, and nothing is asked of anyone.
//!
//! Needs `chromium` and `chromedriver`; where they are missing it is skipped, aloud, and fails in CI.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fantoccini::key::Key;
use report_sample::{empty, sample};
use serde_json::{Value, json};
use skew_core::model::{Counts, Overlay, Party, VerdictKind, VersionId};
use skew_report::{Model, html};
use skew_testing::kept;
use skew_testing::needs::skipped;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::report_sample;

fn page(model: &Model) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("index.html");
    std::fs::write(&page, html(model)).unwrap();
    (dir, page)
}

fn id(model: &Model, cell: &str) -> String {
    model.cells().find(|found| found.cell == cell).unwrap_or_else(|| panic!("{cell}")).id.to_string()
}

/// Every cell is there, with its word and glyph, in its row and column.
async fn check_cells(browser: &Browser, model: &Model) {
    let shown = browser
        .run(
            "return [...document.querySelectorAll('button[data-cell]')].map((button) => {
               const head = button.closest('table') ? [button.closest('tr').cells[0].textContent,
                 button.closest('table').tHead.rows[0].cells[button.closest('td').cellIndex].textContent] : [null, null];
               return [button.dataset.cell, ...head, button.querySelector('i').textContent, button.querySelector('b').textContent];
             })",
        )
        .await;
    let shown: Vec<Vec<Option<String>>> = serde_json::from_value(shown).unwrap();
    let mut expected = 0;
    for check in &model.checks {
        for grid in &check.grids {
            for (row, row_name) in grid.rows.iter().enumerate() {
                for (column, column_name) in grid.columns.iter().enumerate() {
                    let place = [(Some(row), Some(column)), (Some(column), Some(row))];
                    let places = if grid.symmetric { &place[..] } else { &place[..1] };
                    if let Some(cell) = grid.cells.iter().find(|cell| places.contains(&(cell.row, cell.column))) {
                        let (id, glyph) = (cell.id.to_string(), cell.verdict.glyph().to_string());
                        let line = [&id, row_name, column_name].map(|text| Some(text.to_owned()));
                        assert_eq!(shown[expected][..3], line, "{}", cell.cell);
                        // A pass says how many networks stand behind it.
                        let word = shown[expected][3].as_deref().unwrap_or_default();
                        let number = word.strip_prefix(cell.verdict.text()).expect("its verdict").trim();
                        let is_number = number.trim_end_matches('+').parse::<u32>().is_ok_and(|networks| networks > 0);
                        assert!(number.is_empty() || (cell.verdict.text() == "pass" && is_number), "{word}");
                        assert_eq!(shown[expected][4], Some(glyph), "{}", cell.cell);
                        expected += 1;
                    }
                }
            }
        }
        for set in &check.sets {
            assert_eq!(shown[expected][0], Some(set.id.to_string()), "{}", set.cell);
            expected += 1;
        }
    }
    assert_eq!(shown.len(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_right_usable_and_harmless() {
    let model = sample().model();
    let (_dir, page) = page(&model);
    let Some(browser) = Browser::open("a_report_is_right_usable_and_harmless", &page).await else {
        return;
    };

    check_cells(&browser, &model).await;

    // By mouse.
    let failing = id(&model, "pay: node@v1.1.0 -> node@v1.3.0");
    browser.click(&format!("button[data-cell='{failing}']")).await;
    browser.panel_is(true).await;
    browser.check_panel_in_sight().await;
    assert_eq!(browser.text("#panel h2").await, "✗ fail pay: node@v1.1.0 -> node@v1.3.0");
    assert!(browser.text("#sentence").await.starts_with("It failed in 2 of 2 networks"));
    let evidence = browser.text("#panel").await;
    for expected in
        ["skew run matrix/ledger.toml n", "node-0", "node@v1.3.0", "seed ", "in isolation", "exited with status 101"]
    {
        assert!(evidence.contains(expected), "{expected:?} in {evidence}");
    }
    // The hostile line is shown, to the letter, and ran nothing.
    let log = browser.text("#panel pre.log").await;
    assert!(log.contains("ERROR scheme 2 <script>window.pwned=1</script></script><img src=x onerror="), "{log}");
    assert!(browser.client.current_url().await.unwrap().as_str().ends_with(&format!("#cell={failing}")));
    browser.click("#panel .close").await;
    browser.panel_is(false).await;

    // By keyboard: Tab reaches the matrix, arrows move, Enter and Space open, Escape closes and gives the focus back.
    let first = id(&model, "pay: node@v1.0.0 -> node@v1.0.0");
    let right = id(&model, "pay: node@v1.0.0 -> node@v1.1.0");
    let below = id(&model, "pay: node@v1.1.0 -> node@v1.1.0");
    let focused = "return document.activeElement.dataset.cell || document.activeElement.id";
    // The place where the last click left off, before the matrix of the check.
    browser
        .run("document.getElementById('check-pay').tabIndex = -1; document.getElementById('check-pay').focus()")
        .await;
    browser.press(Key::Tab).await.unwrap();
    browser.until("the scrolling box or the cell", "return document.activeElement.id !== 'check-pay'").await;
    assert_eq!(
        browser
            .run("return document.activeElement.matches('.matrix button.c') && document.activeElement.tabIndex")
            .await,
        json!(0)
    );
    // Where a matrix is left is where it is entered again.
    assert_eq!(browser.run(focused).await, json!(failing));
    browser.run(&format!("document.querySelector('button[data-cell=\"{first}\"]').focus()")).await;
    browser.press(Key::Right).await.unwrap();
    assert_eq!(browser.run(focused).await, json!(right));
    browser.press(Key::Down).await.unwrap();
    assert_eq!(browser.run(focused).await, json!(below));
    for key in [Key::Enter, Key::Space] {
        browser.press(key).await.unwrap();
        browser.panel_is(true).await;
        assert_eq!(browser.run(focused).await, json!("panel-title"));
        assert!(browser.text("#panel").await.contains("It was known to fail, and no longer does"));
        browser.press(Key::Escape).await.unwrap();
        browser.panel_is(false).await;
        assert_eq!(browser.run(focused).await, json!(below));
    }

    // A pair of versions leads to its cells, and a finding to its cell.
    browser.click("button[data-pair='2-3']").await;
    browser.panel_is(true).await;
    assert!(browser.text("#sentence").await.starts_with("2 of 3 cells of v1.2.0 towards v1.3.0 pass"));
    browser.click("#panel .cells a").await;
    browser.until("its cell", "return document.querySelector('#panel h2').textContent.includes('fail pay')").await;
    browser.press(Key::Escape).await.unwrap();
    browser.panel_is(false).await;

    // The panel says that a known failure is known, and links to nothing but the web.
    let known = id(&model, "pay: node@v1.5.0 -> node@v1.0.0");
    browser.run(&format!("location.hash = '#cell={known}'")).await;
    browser.panel_is(true).await;
    assert!(browser.text("#panel .reason").await.contains("the framing changed in 1.3, on purpose"));
    assert_eq!(
        browser.run("return document.querySelector('#panel .reason a').href").await,
        json!("https://example.org/ledger/1#a&b")
    );
    browser.check_harmless().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_opens_its_cell_and_wrong_links_open_nothing() {
    let model = sample().model();
    let (_dir, page) = page(&model);
    let Some(browser) = Browser::open("a_link_opens_its_cell_and_wrong_links_open_nothing", &page).await else {
        return;
    };
    let set = id(&model, "gossip: {node@v1.0.0, node@v1.2.0, node@v1.5.0}");
    let address = format!("file://{}", page.display());
    for wrong in ["#cell=aaaaaaaa", "#cell=%3Cimg%3E", "#nothing"] {
        browser.client.goto(&format!("{address}{wrong}")).await.unwrap();
        browser.panel_is(false).await;
    }
    browser.client.goto("about:blank").await.unwrap();
    browser.client.goto(&format!("{address}#cell={set}")).await.unwrap();
    browser.panel_is(true).await;
    assert!(browser.text("#panel h2").await.contains("⋈ interference gossip"));
    browser.check_harmless().await;
    screenshots(&browser).await;
}

/// A sweep of so many versions: the framing changed in the middle, one version is broken, one flaky, some failures are
/// known and one no longer fails.
fn grown(versions: usize) -> Model {
    let mut sample = empty(versions);
    let half = versions / 2;
    let party = |n: usize| Party::new(&report_sample::role("node"), &VersionId::new(&format!("v1.{n}.0")));
    let counts = |passed, failed| Counts { passed, failed, ..Counts::default() };
    for a in 0..versions {
        for b in 0..versions {
            let of = |n: usize| a == n || b == n;
            let (kind, counts) = if versions > 3 && of(half / 2) {
                (VerdictKind::Broken { party: party(half / 2) }, counts(0, 2))
            } else if versions > 3 && of(versions - 2) {
                (VerdictKind::Flaky { charged: Some(party(versions - 2)) }, counts(1, 1))
            } else if (a < half) != (b < half) {
                (VerdictKind::Fail, counts(0, 2))
            } else {
                (VerdictKind::Pass, counts(1, 0))
            };
            let cell = sample.add(&format!("pay: node@v1.{a}.0 -> node@v1.{b}.0"), kind, counts);
            if a + 1 == versions && b == 0 {
                let reason = "the framing changed on purpose".to_owned();
                sample.overlays.insert(cell, Overlay::Expected { reason, link: None });
            } else if (a, b) == (0, 0) {
                sample.overlays.insert(cell, Overlay::UnexpectedPass { reason: "was slow".to_owned() });
            }
        }
    }
    sample.model()
}

/// The accessibility engine that `tests/browser/fetch-axe` fetches; without it that part is skipped aloud.
fn axe(test: &str) -> Option<String> {
    let file = kept("axe-4.12.1").join("axe.min.js");
    let axe = std::fs::read_to_string(&file).ok();
    if axe.is_none() {
        skipped(test, "no axe-core; tests/browser/fetch-axe fetches it");
    }
    axe
}

const WIDTH: &str =
    "return document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth";
const FOCUSED: &str = "return document.activeElement.dataset.cell || document.activeElement.id";
const SHOWN: &str = "return [...document.querySelectorAll('.grids[data-check] .matrix button.c')]
  .filter((button) => button.offsetParent && !(document.body.classList.contains('filtered') && !button.classList.contains('only'))).length";

async fn check_page(test: &str, versions: usize) {
    let model = grown(versions);
    let (_dir, page) = page(&model);
    let Some(browser) = Browser::open(test, &page).await else {
        return;
    };
    if let Some(dir) = std::env::var_os("SKEW_SCREENSHOTS").map(PathBuf::from) {
        std::fs::copy(&page, dir.join(format!("{versions}.html"))).unwrap();
    }
    check_cells(&browser, &model).await;
    check_keyboard_path(&browser, &model).await;
    check_filters(&browser, &model, &format!("file://{}", page.display())).await;

    // On a phone nothing but a matrix scrolls sideways, and the panel fits.
    browser.screen(360, 740).await;
    browser.until("a page as wide as a phone", WIDTH).await;
    let failing = id(&model, &format!("pay: node@v1.0.0 -> node@v1.{}.0", versions / 2));
    browser.run(&format!("location.hash = 'cell={failing}'")).await;
    browser.panel_is(true).await;
    browser.check_panel_in_sight().await;
    browser.until("a panel as wide as a phone", WIDTH).await;
    let inside = "const panel = document.getElementById('panel'); return panel.scrollWidth <= panel.clientWidth";
    assert_eq!(browser.run(inside).await, json!(true), "nothing in the panel is wider than it");

    if let Some(axe) = axe(test) {
        // A hundred versions are many fields that all look like these.
        let part = json!({ "include": [["header"], [".findings"], [".tools"], [".tiny thead"], [".tiny tr:nth-child(2)"], ["#panel"]] });
        let context = if versions < 100 { json!({ "include": [["html"]] }) } else { part };
        for scheme in ["light", "dark"] {
            browser.scheme(scheme).await;
            browser.check_accessible(&axe, &context).await;
        }
    }
    browser.check_harmless().await;
}

/// From the first word to evidence and back, by keys alone.
async fn check_keyboard_path(browser: &Browser, model: &Model) {
    let first = &model.findings[0];
    let link =
        "const link = document.activeElement; return link.matches('.findings a') ? link.getAttribute('href') : null";
    let mut tabs = 0;
    while browser.run(link).await == Value::Null {
        browser.press(Key::Tab).await.unwrap();
        tabs += 1;
        assert!(tabs < 20, "no finding within {tabs} stops");
    }
    assert_eq!(browser.run(link).await, json!(format!("#cell={}", first.ids[0])));
    browser.press(Key::Enter).await.unwrap();
    browser.panel_is(true).await;
    assert_eq!(browser.run(FOCUSED).await, json!("panel-title"));
    let cell = model.cells().find(|cell| cell.id == first.ids[0]).unwrap();
    let panel = browser.text("#panel").await;
    let reproduce = cell.reproduce.as_deref().unwrap();
    for expected in [cell.cell.as_str(), &cell.sentence, reproduce, "What happened when", "Built from"] {
        assert!(panel.contains(expected), "{expected:?} in {panel}");
    }
    assert!(browser.text("#panel .timeline").await.contains("node-0"));
    assert_eq!(browser.run("return document.querySelectorAll('#panel .mark.failed').length > 0").await, json!(true));
    // Inside, the next stop is something of the panel.
    browser.press(Key::Tab).await.unwrap();
    assert_eq!(browser.run("return Boolean(document.activeElement.closest('#panel'))").await, json!(true));
    browser.press(Key::Escape).await.unwrap();
    browser.panel_is(false).await;
    assert_eq!(browser.run(link).await, json!(format!("#cell={}", first.ids[0])), "back where it came from");
}

/// Filters show what fits, stand in the address, and are what a link with them shows.
async fn check_filters(browser: &Browser, model: &Model, address: &str) {
    let all = model.cells().count();
    let failing = model.cells().filter(|cell| cell.verdict.text() == "fail").count();
    assert_eq!(browser.run(SHOWN).await, json!(all));
    browser.click("button[data-only=fail]").await;
    assert_eq!(browser.run(SHOWN).await, json!(failing));
    assert_eq!(browser.run("return location.hash").await, json!("#show=fail"));
    let newest = format!("v1.{}.0", model.versions.len() - 1);
    let of_newest =
        |cell: &&skew_report::CellModel| cell.parties.iter().any(|party| party.ends_with(&format!("@{newest}")));
    let both = model.cells().filter(of_newest).filter(|cell| cell.verdict.text() == "fail").count();
    let find = browser.client.find(fantoccini::Locator::Css("input[name=find]")).await.unwrap();
    find.send_keys(&newest).await.unwrap();
    assert_eq!(browser.run(SHOWN).await, json!(both));
    assert_eq!(browser.run("return location.hash").await, json!(format!("#show=fail&find={newest}")));
    assert!(browser.text(".tools output").await.starts_with(&both.to_string()));
    // What is opened keeps them, and Back leads to where they still hold.
    browser.click(".grids[data-check] button.c.only").await;
    browser.panel_is(true).await;
    let kept = format!("return /^#cell=[a-z0-9]+&show=fail&find={newest}$/.test(location.hash)");
    assert_eq!(browser.run(&kept).await, json!(true));
    browser.client.back().await.unwrap();
    browser.panel_is(false).await;
    assert_eq!(browser.run(SHOWN).await, json!(both));
    // Somebody else follows the link.
    browser.client.goto("about:blank").await.unwrap();
    browser.client.goto(&format!("{address}#show=fail&find={newest}&order=newest&sort=-versions.3")).await.unwrap();
    assert_eq!(browser.run(SHOWN).await, json!(both));
    assert_eq!(browser.run("return document.querySelector('input[name=find]').value").await, json!(newest));
    browser.click(".tools [type=reset]").await;
    assert_eq!(browser.run(SHOWN).await, json!(all));
    assert_eq!(browser.run("return location.hash").await, json!("#sort=-versions.3"));

    // Another order shows the same cells in other places.
    let heads = "return [...document.querySelector('.grids[data-check] thead').rows[0].cells].slice(1).map((th) => th.textContent)";
    let names: Vec<String> = model.checks[0].grids[0].columns.clone();
    assert_eq!(browser.run(heads).await, json!(names));
    browser.run("const order = document.querySelector('select[name=order]'); order.value = 'newest'; order.dispatchEvent(new Event('input', { bubbles: true }))").await;
    assert_eq!(browser.run(heads).await, json!(names.iter().rev().collect::<Vec<_>>()));
    let place = "return [...document.querySelectorAll('.grids[data-check] button[data-cell]')].every((button) => {
      const table = button.closest('table');
      const [row, column] = [button.closest('tr').cells[0].textContent, table.tHead.rows[0].cells[button.closest('td').cellIndex].textContent];
      return button.getAttribute('aria-label').startsWith('node ' + row + ' → node ' + column + ':');
    })";
    assert_eq!(browser.run(place).await, json!(true));
    // The version with the most failures is the first of the list.
    let wrong = "return [...document.querySelectorAll('[data-sort=versions] tbody tr')].map((tr) => Number(tr.cells[3].textContent))";
    let wrong: Vec<u32> = serde_json::from_value(browser.run(wrong).await).unwrap();
    assert!(wrong.is_sorted_by(|a, b| a >= b), "{wrong:?}");
    assert!(wrong.iter().collect::<BTreeSet<_>>().len() > 1, "{wrong:?}");
    browser.run("location.hash = ''").await;
    browser
        .until(
            "the page as it came",
            "return !location.hash && document.querySelector('select[name=order]').value === ''",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_three_versions() {
    check_page("a_page_of_three_versions", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_thirty_versions() {
    check_page("a_page_of_thirty_versions", 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_hundred_versions_and_ten_thousand_cells() {
    check_page("a_page_of_a_hundred_versions_and_ten_thousand_cells", 100).await;
}

/// For whoever works on the page: `SKEW_SCREENSHOTS=DIR` keeps pictures of it.
async fn screenshots(browser: &Browser) {
    let Some(dir) = std::env::var_os("SKEW_SCREENSHOTS").map(PathBuf::from) else {
        return;
    };
    let page = browser.client.current_url().await.unwrap();
    std::fs::copy(page.path(), dir.join("index.html")).unwrap();
    browser.run("document.querySelector('button[data-cell].fail.wrong').click()").await;
    for (name, width, height) in [("wide", 1400, 1000), ("desk", 1700, 1000), ("phone", 420, 900)] {
        browser.client.set_window_size(width, height).await.unwrap();
        for (state, script) in [
            ("panel", "scrollTo(0, 0)"),
            ("page", "document.querySelector('#panel .close').click(); scrollTo(0, 0)"),
            ("checks", "document.getElementById('check-pay').scrollIntoView()"),
            ("end", "scrollTo(0, document.body.scrollHeight)"),
        ] {
            browser.run(script).await;
            let picture = browser.client.screenshot().await.unwrap();
            std::fs::write(dir.join(format!("{name}-{state}.png")), picture).unwrap();
        }
        browser.run("document.querySelector('button.fail.wrong').click()").await;
        browser.panel_is(true).await;
    }
}
