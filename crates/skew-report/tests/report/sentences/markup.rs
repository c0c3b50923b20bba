//! Reads Markdown and HTML.

use regex::Regex;
use skew_core::model::{Cell, VerdictKind};

use super::cells::{cell_sentence, number, take};
use super::pages::{Reader, ended, panel, square};
use super::summary::{headline, since};
use super::truth::{Claim, Stands, Truth, asked_in, ensure, interval, is_rate, stands_in};
use skew_core::model::Explanation;

/// Whether one of the cells stands as it does since the sweep of a day, and none since an earlier one.
fn like_since(truth: &Truth<'_>, cells: &[&Cell], day: &str) -> Claim {
    let sweeps: Vec<_> = truth.past.iter().chain([truth.now]).collect();
    let days: Vec<String> = (0..truth.past.len())
        .map(|night| format!("2026-11-{:02}", 12 + night))
        .chain(["2026-11-21".to_owned()])
        .collect();
    let at = days.iter().position(|other| other == day).ok_or_else(|| format!("no sweep was on {day}"))?;
    let begun = |cell: &Cell| {
        let state = |sweep: &crate::report_sample::Sample| {
            let verdict = sweep.verdicts.get(cell).filter(|_| asked_in(sweep, cell))?;
            Some((verdict.kind.word(), stands_in(sweep, cell)))
        };
        let same = sweeps.iter().rev().take_while(|sweep| state(sweep) == state(truth.now)).count();
        sweeps.len() - same
    };
    let first = cells.iter().map(|cell| begun(cell)).min();
    ensure(first == Some(at), || format!("since the sweep {first:?}, not {at}"))
}

/// Escaped prose as people read it.
fn unprose(text: &str) -> String {
    let text = text.replace("<!-- -->", "").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
    }
    plain
}

fn uncode(text: &str) -> &str {
    text.trim_matches('`')
}

impl Reader<'_, '_> {
    pub(crate) fn markdown(&mut self, text: &str) {
        let (mut section, mut check, mut axes) = ("", String::new(), String::new());
        let (mut fenced, mut cell, mut header) = (false, None::<Cell>, Vec::<String>::new());
        let mut sentences = Vec::new();
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
                continue;
            }
            if fenced
                || line.is_empty()
                || ["<details>", "</summary>", "</details>", "<sub>"].iter().any(|tag| line.starts_with(tag))
            {
                continue;
            }
            if let Some((said, _)) = take(r"## (\S) ledger: (.*)$", line) {
                let claim = headline(self.truth, &said[1]);
                self.claim(line, claim);
            } else if line.starts_with("Since ") {
                let claim = since(self.truth, line);
                self.claim(line, claim);
            } else if let Some(title) = line.strip_prefix("### ") {
                section = match title {
                    "Not as expected" => "wrong",
                    "Known failures" => "known",
                    "Compatibility windows" => "windows",
                    _ => "?",
                };
                self.claim(line, ensure(section != "?", || "it is not understood".to_owned()));
            } else if let Some((said, _)) =
                take(r"- \*\*(regressed|new|fixed|changed|gone)\*\* (\S+): `(.*)` \((.*)\)$", line)
            {
                self.change(&said[0], &said[1], &said[2], &unprose(&said[3]));
            } else if let Some((said, _)) = take(
                r"- \*\*(.*?)\*\* (\S+): (`+)(.*?)`+(?:, (in part )?since (\S+?))?(?:: (?:a reason))? · `skew show \S+ \S+`<br>(.*?)(?:<br>Seen: `(.*)`)?$",
                line,
            ) {
                self.finding(section == "known", &said[0], &said[1], said[3].trim());
                self.advice(&unprose(&said[6]));
                if !said[5].is_empty() {
                    self.since(&said[5], !said[4].is_empty());
                }
                if !said[7].is_empty() {
                    self.seen(&said[7]);
                }
            } else if let Some((said, _)) = take(r"- `(.*)`$", line).filter(|_| section == "windows") {
                sentences.push(said[0].clone());
            } else if let Some((said, _)) = take(r"Evidence: `(.*)`$", line) {
                cell = said[0].parse().ok();
            } else if line.starts_with("Reproduce it: `skew run ") {
                cell = None;
            } else if let Some(shown) = cell.take_if(|_| line.starts_with('`')) {
                let claim = cell_sentence(self.truth, &shown, uncode(line));
                self.claim(line, claim);
            } else if let Some((said, _)) = take(r"`(.*)` was not built: `(.*)`$", line) {
                let claim = self.unbuilt(&format!("{} was not built: {}", said[0], said[1]));
                self.claim(line, claim);
            } else if let Some((said, _)) = take(r"At `(.*)`:$", line) {
                axes = said[0].clone();
            } else if let Some((said, _)) = take(r"- (\S+) `(.*?)(?: (\[.*\]))?`$", line) {
                let claim = self.set(&check, &said[1], &said[2], None);
                self.claim(line, claim);
            } else if line.starts_with("Which versions work together: the worst of all checks of the row's version") {
                check = "together".to_owned();
            } else if let Some((said, _)) = take(r"(\S+): (.*) \((.*)\)$", line).filter(|_| !line.starts_with('|')) {
                check.clone_from(&said[0]);
                axes.clear();
                let claim = self.about(&check, &unprose(&said[1]));
                self.claim(line, claim);
                for part in said[2].split(", ").filter(|part| *part != "no cell was asked") {
                    let (n, word) = part.split_once(' ').unwrap_or(("0", part));
                    let claim = self.word_count(Some(&said[0]), word, n);
                    self.claim(line, claim);
                }
            } else if unprose(line).starts_with("the number beside ✓") {
                self.claim(line, Self::weights(&unprose(line)));
            } else if take(r"- and [\d,]+ more lines?$", line).is_some() {
                self.truncated = true;
            } else if line.starts_with("|---") || line.starts_with("_Left out") {
            } else if line.starts_with('|') {
                let fields: Vec<String> =
                    line.trim_matches('|').split('|').map(|field| uncode(field.trim()).to_owned()).collect();
                let is_header = line.contains("` |") && line.ends_with(" |");
                if is_header {
                    header = fields;
                    continue;
                }
                self.row(&check, &header, &fields, &axes);
            } else {
                self.errors.push(format!("{line:?} is not understood"));
            }
        }
        self.windows = sentences;
        self.finish(true);
    }

    fn since(&mut self, day: &str, in_part: bool) {
        let Some((_, _, cells)) = self.last.clone() else { return };
        self.claim(day, like_since(self.truth, &cells, day));
        self.claim(day, ensure(in_part == (cells.len() > 1), || format!("of {} cells", cells.len())));
    }

    fn row(&mut self, check: &str, header: &[String], fields: &[String], axes: &str) {
        for (column, mark) in header[1..].iter().zip(&fields[1..]) {
            let place = format!("{check} {} {column} [{axes}] {mark}", fields[0]);
            if check == "together" {
                let word = take(r"(\D)\d*\+?[k!]?$", mark).map_or("?".to_owned(), |(said, _)| said[0].clone());
                let word = super::pages::word_of(&word);
                self.claim(&place, square(self.truth, &fields[0], column, word));
                continue;
            }
            let corner = header[0].replace('↓', "").replace('↔', "→");
            let roles = corner.split_once('→').map(|(from, to)| (from.trim(), to.trim()));
            let claim = self.mark(check, roles, &fields[0], column, axes, mark);
            self.claim(&place, claim);
        }
    }

    pub(crate) fn html(&mut self, page: &str) {
        let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
        let data: serde_json::Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        self.claim(
            "seed",
            ensure(data["sweep"]["seed"].as_str().map(str::parse) == Some(Ok(self.truth.now.sweep.seed)), || {
                "rounded".to_owned()
            }),
        );
        panel(self, &data);
        let body = page.split_once("<main id=\"main\">").unwrap().1.split_once("</main>").unwrap().0;
        let mut view = View::default();
        let tag = Regex::new(r"(?s)<(/?)([a-z0-9]+)([^>]*)>").unwrap();
        let mut at = 0;
        for found in tag.captures_iter(body) {
            let whole = found.get(0).unwrap();
            view.text(&body[at..whole.start()]);
            at = whole.end();
            self.tag(&mut view, &found[1] == "/", &found[2], &found[3]);
        }
        self.line(&mut view);
        self.windows = std::mem::take(&mut view.windows);
        self.finish(true);
    }

    fn tag(&mut self, view: &mut View, closes: bool, tag: &str, attributes: &str) {
        let attribute = |name: &str| {
            let (_, rest) = attributes.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| unescape(value))
        };
        match (tag, closes) {
            ("section", false) => view.section = attribute("aria-labelledby").unwrap_or_default(),
            ("section", true) => {
                self.line(view);
                view.section.clear();
            }
            ("table", false) => {
                view.columns.clear();
                view.matrix = attribute("class").is_some_and(|class| class.starts_with("matrix"));
                view.ends = (attribute("data-from").unwrap_or_default(), attribute("data-to").unwrap_or_default());
            }
            ("button", false) => view.label = attribute("aria-label"),
            ("button", true) => {
                if let Some(label) = view.label.take() {
                    view.line.clear();
                    let claim = if view.matrix { self.field(view, &label) } else { self.set_label(&label) };
                    self.claim(&label, claim);
                }
            }
            ("b" | "span" | "code" | "small", true) | ("small", false) => view.line.push('\t'),
            _ => {}
        }
        let inline = ["b", "span", "code", "small", "i", "a", "strong", "time", "data"];
        if inline.contains(&tag) || (tag == "button" && view.label.is_some() && !closes) {
            return;
        }
        let text = view.line.trim().to_owned();
        match (tag, closes) {
            ("th", true) if view.matrix && attributes.is_empty() => {
                if view.in_head {
                    view.columns.push(text);
                } else {
                    view.row = text;
                    view.column = 0;
                }
                view.line.clear();
            }
            ("table", true) => {
                self.line(view);
                view.matrix = false;
            }
            ("thead", false) => {
                self.line(view);
                view.in_head = true;
            }
            ("thead", true) => {
                view.line.clear();
                view.in_head = false;
            }
            ("td", true) if view.matrix && !view.in_head => {
                if text == "not asked" {
                    let claim = self.field(view, "not asked");
                    self.claim("not asked", claim);
                }
                view.line.clear();
                view.column += 1;
            }
            ("td", true) if view.matrix => view.line.clear(),
            _ => self.line(view),
        }
    }

    /// The label of a field of a matrix: `node v1 → node v2: pass, seen in 3 networks, excludes a failure rate above …`.
    fn field(&self, view: &View, label: &str) -> Claim {
        let column = view.columns.get(view.column).ok_or("there is no such column")?;
        let (row, column) = (view.row.as_str(), column.as_str());
        if view.section == "together" {
            let said = label.strip_prefix(&format!("{row} towards {column}: "));
            let word = said.map_or("not asked", |said| said.split_once(", ").map_or(said, |(word, _)| word));
            return square(self.truth, row, column, word);
        }
        let roles = Some((view.ends.0.as_str(), view.ends.1.as_str())).filter(|(from, _)| *from != "role");
        if label == "not asked" {
            return self.mark(&view.check, roles, row, column, &view.axes, label);
        }
        let cell = self.at(&view.check, roles, row, column, &view.axes).ok_or("there is no such cell")?;
        let (between, said) = label.split_once(": ").ok_or("no verdict")?;
        let named = match roles {
            Some((from, to)) => [format!("{from} {row} → {to} {column}"), format!("{from} {row} ↔ {to} {column}")],
            None => [format!("{row} {column}"), String::new()],
        };
        ensure(named.iter().any(|name| name == between), || format!("it is {named:?}"))?;
        self.verdict_label(&cell, said)
    }

    fn set_label(&self, label: &str) -> Claim {
        let (cell, said) = label.rsplit_once(": ").ok_or("no verdict")?;
        let cell: Cell = cell.parse().map_err(|error| format!("{error}"))?;
        self.verdict_label(&cell, said)
    }

    fn verdict_label(&self, cell: &Cell, said: &str) -> Claim {
        let verdict = self.truth.verdict(cell).ok_or("there is no such cell")?;
        let (word, rest) = said.split_once(", ").unwrap_or((said, ""));
        ensure(word == verdict.kind.word(), || format!("it is {}", verdict.kind))?;
        let stands = match self.truth.stands(cell) {
            Stands::Known => "known failure",
            Stands::Unexpected => "unexpected pass",
            _ => "",
        };
        ensure(rest.contains("known failure") == (stands == "known failure"), || stands.to_owned())?;
        ensure(rest.contains("unexpected pass") == (stands == "unexpected pass"), || stands.to_owned())?;
        ensure(rest.ends_with("not asked") != self.truth.is_asked(cell), || "whether it was asked".to_owned())?;
        let seen = take(r".*?seen in ([\d,]+) networks?, excludes a failure rate above ([\d.]+ %)", rest);
        let Some((seen, _)) = seen else {
            return ensure(word != "pass" || verdict.counts.passed == 0, || "its rate is not said".to_owned());
        };
        ensure(number(&seen[0]) == verdict.counts.passed, || format!("{} passed", verdict.counts.passed))?;
        let noise = verdict.explained.iter().filter(|one| matches!(one.by, Explanation::Noise { .. }));
        let failed = verdict.counts.failed + verdict.counts.mixed + noise.map(|one| one.networks).sum::<u32>();
        is_rate(&seen[1], interval(failed, verdict.counts.passed + failed).1)
    }

    /// A line of the page.
    fn line(&mut self, view: &mut View) {
        let text = std::mem::take(&mut view.line);
        let parts: Vec<&str> = text.split('\t').map(str::trim).filter(|part| !part.is_empty()).collect();
        let whole = parts.join(" ");
        if whole.is_empty() {
            return;
        }
        let section = view.section.clone();
        let known = section == "accepted";
        let claim = match (section.as_str(), parts.as_slice()) {
            (_, _) if UI.contains(&whole.as_str()) => return,
            ("since", [how, check, text, step]) => return self.change(how, check, text, step),
            ("since", [text]) if text.starts_with("Since ") => since(self.truth, text),
            ("findings" | "accepted", [text]) if text.starts_with("Seen:") => Ok(()),
            ("findings" | "accepted", ["Seen:", seen]) => return self.seen(seen),
            ("findings" | "accepted", [word, check, text]) if !whole.contains(" since ") && self.is_word(word) => {
                return self.finding(known, word, check, text);
            }
            ("findings" | "accepted", [advice, rest @ ..]) if rest.len() < 2 => {
                self.advice(advice);
                let Some(text) = rest.first() else { return };
                let Some((said, _)) = take(r"(Like|In part like) this since the sweep of (\S+) \S+ \(\S+\)\.$", text)
                else {
                    return self.errors.push(format!("{text:?} is not understood"));
                };
                return self.since(&said[1], said[0] != "Like");
            }
            ("windows", [text]) if text.contains(" work") || text.contains(": ") => {
                view.windows.push((*text).to_owned());
                return;
            }
            ("windows", [roles]) => {
                ensure(take(r"\w+ – \w+$", roles).is_some() || UI.contains(roles), || "?".to_owned())
            }
            ("unbuilt", ["unbuilt" | "error", party, detail]) => {
                self.unbuilt(&format!("{party} was not built: {detail}"))
            }
            ("unbuilt", _) if whole.contains("error") || whole == "no rule to make it" => Ok(()),
            ("versions" | "images", _) => Ok(()),
            (section, _) if section.starts_with("check-") => self.check_line(view, &whole),
            ("together", [caption])
                if caption.starts_with("Each square: the worst of all checks of the row's version") =>
            {
                Ok(())
            }
            ("", _) => self.head(&parts, &whole),
            _ => Err("it is not understood".to_owned()),
        };
        self.claim(&format!("{section}: {whole}"), claim);
    }

    fn is_word(&self, word: &str) -> bool {
        word == "no longer fails" || super::pages::WORDS.contains(&word)
    }

    /// The lines of a check's section, which tell which check and which values of the axes the next matrix is about.
    fn check_line(&self, view: &mut View, text: &str) -> Claim {
        view.check = view.section["check-".len()..].to_owned();
        if let Some((said, _)) = take(r"(\S+) (.*)$", text).filter(|(said, _)| said[0] == view.check) {
            return self.about(&view.check, &said[1]);
        }
        if let Some((said, _)) =
            take(r"(\S+): (.*?)(?: at (\S+ = .*))?$", text).filter(|(said, _)| said[0] == view.check)
        {
            view.axes = said[2].replace(" = ", "=");
            return Ok(());
        }
        if text == "No cell was asked." {
            return ensure(self.count(Some(&view.check), &|_, _| true) == 0, || "some were".to_owned());
        }
        if let Some((said, _)) = take(r"([\d,]+) cells?: (.*)$", text) {
            ensure(number(&said[0]) == self.count(Some(&view.check), &|_, _| true), || "how many cells".to_owned())?;
            for part in said[1].split(", ").filter(|part| !part.is_empty()) {
                let (n, word) = part.split_once(' ').ok_or("no count")?;
                self.word_count(Some(&view.check), word, n)?;
            }
            return Ok(());
        }
        if let Some((said, _)) = take(r"(\S+@\S+ \+ .*?)(?: (\[.*\]))?$", text) {
            return self.set(&view.check, &said[0], &said[1], None);
        }
        Err("it is not understood".to_owned())
    }

    /// The head of the page, its facts and its filters.
    fn head(&self, parts: &[&str], whole: &str) -> Claim {
        if let ["As expected" | "Not as expected" | "Not settled", text] = parts {
            let of =
                |stands: Stands| self.count(None, &|cell: &Cell, _: &VerdictKind| self.truth.stands(cell) == stands);
            let state = match (of(Stands::Wrong), of(Stands::Unknown)) {
                (0, 0) => "As expected",
                (0, _) => "Not settled",
                (_, _) => "Not as expected",
            };
            ensure(parts[0] == state, || format!("it is {state}"))?;
            return headline(self.truth, text);
        }
        if let Some((said, _)) = take(r"([\d,]+) cells?(?:, ([\d,]+) not as expected)?$", whole) {
            let wrong = self.count(None, &|cell, _| self.truth.stands(cell) == Stands::Wrong);
            ensure(number(&said[0]) == self.count(None, &|_, _| true), || "how many cells".to_owned())?;
            return ensure(if said[1].is_empty() { wrong == 0 } else { number(&said[1]) == wrong }, || {
                format!("{wrong}")
            });
        }
        if whole.starts_with("the number beside ✓") {
            return Self::weights(whole);
        }
        if whole == ended(self.truth.now.end)
            || self.truth.now.matrix.check(&"pay".parse().unwrap()).is_some() && whole == "pay"
        {
            return Ok(());
        }
        if let Some((said, _)) = take(r"\S+ ([a-z ]+?) ([\d,]+)$", whole)
            .filter(|(said, _)| self.is_word(&said[0]) || said[0] == "known failure")
        {
            return self.word_count(None, &said[0], &said[1]);
        }
        let fact = take(
            r"Sweep \S+$|took .*$|seed \d+$|spec \S+$|candidate \S+$|\d{4}-\d\d-\d\dT\S+$|Made by skew .*|Which versions of ledger work together$",
            whole,
        );
        let is_check = self.truth.shown().any(|(cell, _)| cell.check.as_str() == whole);
        ensure(fact.is_some() || is_check, || "it is not understood".to_owned())
    }
}

/// What stands on the page beside statements.
const UI: [&str; 33] = [
    "What is new",
    "What to do",
    "Windows",
    "Version by version",
    "Versions and builds",
    "What is wrong, and what to do",
    "Known failures accepted in the spec, and still failing",
    "Compatibility windows every check of the two, both ways",
    "roles",
    "what works together",
    "nothing is known",
    "Find",
    "Check",
    "all",
    "Order",
    "oldest first",
    "newest first",
    "worst first",
    "Show all",
    "Version by version the worst of all checks, each way",
    "Sets that were run together:",
    "Builds that failed, and their logs",
    "Nothing was logged.",
    "Versions",
    "Evidence opens with JavaScript; without it, read results.json .",
    "version",
    "commit",
    "works with",
    "not as expected",
    "cells that name it",
    "first",
    "the last line of a log",
    "–",
];

/// Where the reading of a page is.
#[derive(Default)]
struct View {
    line: String,
    section: String,
    check: String,
    axes: String,
    ends: (String, String),
    columns: Vec<String>,
    row: String,
    column: usize,
    matrix: bool,
    in_head: bool,
    label: Option<String>,
    windows: Vec<String>,
}

impl View {
    fn text(&mut self, text: &str) {
        self.line.push_str(&unescape(text).replace('\n', " "));
    }
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let number = Regex::new(r"&#(\d+);").unwrap();
    let text = number.replace_all(text, |found: &regex::Captures<'_>| {
        char::from_u32(found[1].parse().unwrap()).unwrap().to_string()
    });
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
