//! Reads whole reports: every line of a terminal, of Markdown and of HTML is a statement that is understood, or an error.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{AxisPoint, Cell, CellId, Party, RoleKind, Scope, Subject, Untested, VerdictKind, VersionId};
use skew_report::SweepEnd;

use super::cells::{cell_sentence, number, take};
use super::findings::{advice, finding};
use super::summary::{changed, changes, headline, since};
use super::truth::{Claim, Stands, Truth, ensure, is_rate, point, role};
use super::windows::windows;

/// What is read of a report, and what of it is not so.
pub(crate) struct Reader<'a, 't> {
    pub truth: &'t Truth<'a>,
    pub errors: Vec<String>,
    /// Cells that the findings read so far are about: unexpected ones, and known failures.
    found: [BTreeSet<Cell>; 2],
    pub(super) last: Option<(bool, String, Vec<&'a Cell>)>,
    changed: usize,
    /// Whether it says that it leaves something out.
    pub(super) truncated: bool,
    pub(super) windows: Vec<String>,
}

const GLYPHS: [(&str, &str); 9] = [
    ("✓", "pass"),
    ("✗", "fail"),
    ("~", "flaky"),
    ("≈", "flaky"),
    ("⋈", "interference"),
    ("B", "broken"),
    ("U", "unbuilt"),
    ("–", "unsupported"),
    ("E", "error"),
];

/// The words of verdicts.
pub(crate) const WORDS: [&str; 9] =
    ["pass", "fail", "flaky", "interference", "broken", "unbuilt", "unsupported", "error", "untested"];

/// The verdict of a glyph.
pub(crate) fn word_of(glyph: &str) -> &'static str {
    match glyph {
        "·" => "·",
        glyph => GLYPHS.iter().find(|(other, _)| *other == glyph).map_or("untested", |(_, word)| *word),
    }
}

impl<'a, 't> Reader<'a, 't> {
    pub(crate) fn new(truth: &'t Truth<'a>) -> Self {
        let found = [BTreeSet::new(), BTreeSet::new()];
        Self { truth, errors: Vec::new(), found, last: None, changed: 0, truncated: false, windows: Vec::new() }
    }

    pub(crate) fn claim(&mut self, line: &str, claim: Claim) {
        if let Err(why) = claim {
            self.errors.push(format!("{line:?}: {why}"));
        }
    }

    pub(crate) fn finding(&mut self, known: bool, word: &str, check: &str, text: &str) {
        let line = format!("{word} {check} {text}");
        self.last = None;
        match finding(self.truth, known, word, check, text) {
            Ok(cells) => {
                for cell in &cells {
                    if !self.found[usize::from(known)].insert((*cell).clone()) {
                        self.errors.push(format!("{line:?}: {cell} was told before"));
                    }
                }
                self.last = Some((known, word.to_owned(), cells));
            }
            Err(why) => self.errors.push(format!("{line:?}: {why}")),
        }
    }

    pub(crate) fn advice(&mut self, text: &str) {
        let Some((known, word, cells)) = self.last.clone() else { return };
        self.claim(&format!("{word}: {text}"), advice(self.truth, known, &word, &cells, text));
    }

    /// What a check expected and found is what was observed.
    pub(crate) fn seen(&mut self, text: &str) {
        let so = text.starts_with("notary refused signature scheme 2");
        self.claim(text, ensure(so, || "nobody observed that".to_owned()));
    }

    pub(super) fn change(&mut self, how: &str, check: &str, text: &str, step: &str) {
        match changed(self.truth, how, check, text, step) {
            Ok(cells) => self.changed += cells,
            Err(why) => self.errors.push(format!("{how} {check} {text} {step}: {why}")),
        }
    }

    /// Whether all that is to be told was.
    pub(crate) fn finish(&mut self, with_known: bool) {
        let windows = windows(self.truth, &std::mem::take(&mut self.windows));
        self.claim("windows", windows);
        let of = |known: bool| {
            let wanted = move |stands: Stands| match stands {
                Stands::Wrong | Stands::Unexpected | Stands::Unknown => !known,
                Stands::Known => known,
                Stands::Fine => false,
            };
            let cells = self.truth.shown().filter(|(cell, _)| wanted(self.truth.stands(cell)));
            cells.map(|(cell, _)| cell.clone()).collect::<BTreeSet<Cell>>()
        };
        if self.truncated {
            return;
        }
        for known in [false, true] {
            let missing: Vec<String> =
                of(known).difference(&self.found[usize::from(known)]).map(ToString::to_string).collect();
            if !missing.is_empty() && (with_known || !known) {
                self.errors.push(format!("no finding tells of {missing:?}"));
            }
        }
        let all = changes(self.truth);
        if self.changed != all {
            self.errors.push(format!("{} of {all} changes are told", self.changed));
        }
    }

    /// A field of a matrix: `✓3`, `✗k`, `(✗)`, `·`.
    pub(super) fn mark(
        &self,
        check: &str,
        roles: Option<(&str, &str)>,
        row: &str,
        column: &str,
        axes: &str,
        mark: &str,
    ) -> Claim {
        let cell = self.at(check, roles, row, column, axes);
        let shown = cell.as_ref().and_then(|cell| self.truth.now.verdicts.get_key_value(cell));
        let shown = shown.filter(|(_, verdict)| verdict.kind != VerdictKind::Untested(Untested::NotAsked));
        if mark == "·" || mark == "not asked" {
            return ensure(shown.is_none(), || "it was asked".to_owned());
        }
        let (cell, verdict) = shown.ok_or("there is no such cell")?;
        let inner = mark.strip_prefix('(').and_then(|mark| mark.strip_suffix(')'));
        let stands = self.truth.stands(cell);
        let overlaid = matches!(stands, Stands::Known | Stands::Unexpected);
        ensure(inner.is_some() != self.truth.is_asked(cell) || overlaid, || "whether it was asked".to_owned())?;
        let (said, _) = take(r"(\D)(\d*\+?)([k!]?)$", inner.unwrap_or(mark)).ok_or("it is not understood")?;
        let word = GLYPHS.iter().find(|(glyph, _)| *glyph == said[0]).map_or("untested", |(_, word)| word);
        ensure(word == verdict.kind.word(), || format!("{cell} is {}", verdict.kind))?;
        let passed = verdict.counts.passed;
        let weight = match (word, passed) {
            ("pass", 1..100) => passed.to_string(),
            ("pass", 100..) => "99+".to_owned(),
            _ => String::new(),
        };
        ensure(weight == said[1], || format!("{passed} passed"))?;
        let sign = match stands {
            Stands::Known => "k",
            Stands::Unexpected => "!",
            _ => "",
        };
        ensure(sign == said[2], || format!("it stands {stands:?}"))
    }

    pub(super) fn at(
        &self,
        check: &str,
        roles: Option<(&str, &str)>,
        row: &str,
        column: &str,
        axes: &str,
    ) -> Option<Cell> {
        let party = |name: &str, version: &str| Party::new(&role(name), &VersionId::new(version));
        let axes = axes.trim_matches(['[', ']']).split(", ").filter(|one| !one.is_empty()).map(|one| {
            let (axis, value) = one.split_once('=')?;
            Some((axis.trim().parse().ok()?, value.trim().to_owned()))
        });
        let axes: AxisPoint = axes.collect::<Option<_>>()?;
        let subjects = match roles {
            Some((from, to)) => {
                let (a, b) = (party(from, row), party(to, column));
                vec![Subject::Ordered(a.clone(), b.clone()), Subject::symmetric(a, b)]
            }
            None => vec![Subject::Alone(party(row, column))],
        };
        let cells =
            subjects.into_iter().map(|subject| Cell { check: check.parse().unwrap(), subject, axes: axes.clone() });
        cells.into_iter().find(|cell| self.truth.verdict(cell).is_some())
    }

    /// Whom a check is about.
    pub(super) fn about(&self, check: &str, text: &str) -> Claim {
        if check == "builds" {
            return ensure(text == "each role at each version", || "what it is about".to_owned());
        }
        let axis = self.truth.now.matrix.check(&check.parse().unwrap()).ok_or("there is no such check")?;
        let mut expect = match &axis.scope {
            Scope::Pair { from, to, symmetric: true, .. } => format!("{from} and {to}, both ways at once"),
            Scope::Pair { from, to, .. } => format!("{from} towards {to}"),
            Scope::Node { roles } => {
                let roles: Vec<String> = roles.iter().map(|role| format!("each {role}")).collect();
                format!("{} by itself", roles.join(", "))
            }
            Scope::Network => "the network as a whole".to_owned(),
        };
        if let Scope::Pair { via, .. } = &axis.scope
            && let Some(via) = via.first()
        {
            expect.push_str(&format!(", through {via}"));
        }
        if let Some(after) = axis.after.first() {
            expect.push_str(&format!(", after {after}"));
        }
        ensure(text == expect, || format!("it is {expect:?}"))
    }

    /// How many cells of a check, or of all, have a verdict.
    pub(super) fn count(&self, check: Option<&str>, of: &dyn Fn(&Cell, &VerdictKind) -> bool) -> u32 {
        let cells = self.truth.shown().filter(|(cell, verdict)| {
            self.truth.is_asked(cell)
                && check.is_none_or(|check| cell.check.as_str() == check)
                && of(cell, &verdict.kind)
        });
        cells.count() as u32
    }

    pub(super) fn word_count(&self, check: Option<&str>, word: &str, n: &str) -> Claim {
        let count = match word {
            "known failure" => self.count(check, &|cell, _| self.truth.stands(cell) == Stands::Known),
            "no longer fails" => self.count(check, &|cell, _| self.truth.stands(cell) == Stands::Unexpected),
            "not asked" => self.truth.shown().filter(|(cell, _)| !self.truth.is_asked(cell)).count() as u32,
            word => self.count(check, &|_, kind| kind.word() == word),
        };
        ensure(number(n) == count, || format!("{count} are {word}"))
    }

    pub(super) fn weights(text: &str) -> Claim {
        let rest = text
            .strip_prefix("the number beside ✓: networks that worked; at 95 % confidence these exclude failure rates: ")
            .ok_or("it is not understood")?;
        for part in rest.split(", ") {
            let (said, _) = take(r"(\d+) above ([\d.]+ %)$", part).ok_or("no rate")?;
            // (n + 1)·(1 − p)ⁿ = 1/20.
            let n = f64::from(number(&said[0]));
            is_rate(&said[1], 1.0 - (0.05 / (n + 1.0)).powf(1.0 / n))?;
        }
        Ok(())
    }

    fn id(&self, text: &str) -> Claim {
        let id = CellId::new(text).ok_or("it is no id")?;
        ensure(self.truth.by_id.contains_key(&id), || "there is no such cell".to_owned())
    }

    pub(crate) fn terminal(&mut self, text: &str) {
        let (mut check, mut grid, mut tail) = (String::new(), Vec::<String>::new(), Vec::<String>::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_check = |name: &str| {
                name == "builds" || self.truth.now.matrix.checks.iter().any(|check| check.name.as_str() == name)
            };
            if let Some(axes) = line.strip_prefix("  at ") {
                self.grid(&check, &std::mem::take(&mut grid), axes);
            } else if line.starts_with("   ") {
                grid.push(line.to_owned());
                let goes_on = lines.peek().is_some_and(|next| next.starts_with("   ") || next.starts_with("  at "));
                let is_header = |line: &String| {
                    line.trim().split("  ").last().is_some_and(|last| {
                        self.truth.now.matrix.versions.iter().any(|version| version.id.as_str() == last.trim())
                    })
                };
                let next_grid = lines.peek().is_some_and(|next| is_header(&(*next).to_owned()));
                if !goes_on || next_grid {
                    self.grid(&check, &std::mem::take(&mut grid), "");
                }
            } else if let Some((said, _)) = take(r"  (\S+) (\S+@\S+ \+ .*?)(?: (\[.*\]))?$", line) {
                let claim = self.set(&check, &said[1], &said[2], Some(&said[0]));
                self.claim(line, claim);
            } else if line.is_empty() {
            } else if let Some((name, about)) = line.split_once(": ").filter(|(name, _)| is_check(name)) {
                check = name.to_owned();
                let claim = self.about(name, about);
                self.claim(line, claim);
            } else if let Some((said, _)) = take("the number beside ✓", line).map(|_| (line, "")) {
                self.claim(line, Self::weights(said));
            } else if take(r"\S+ [a-z ]+ [\d,]+(?:   |$)|\( \) not asked \d+", line).is_some() && tail.is_empty() {
                for part in line.split("   ") {
                    let claim = match take(r"(?:\( \)|\S+) (.*) ([\d,]+)$", part) {
                        Some((said, _)) => self.word_count(None, &said[0], &said[1]),
                        None => Err("it is not understood".to_owned()),
                    };
                    self.claim(part, claim);
                }
            } else if let Some(row) = line.strip_prefix(' ') {
                let columns: Vec<&str> = row.split("  ").map(str::trim).filter(|text| !text.is_empty()).collect();
                match columns[..] {
                    [word, check, text, id] => {
                        self.finding(false, word, check, text);
                        let claim = self.id(id);
                        self.claim(line, claim);
                    }
                    [how, check, text, step, _id] => self.change(how, check, text, step),
                    _ => self.errors.push(format!("{line:?} is not understood")),
                }
            } else if take(r"… and [\d,]+ more (?:findings?; results.json has all|changes?)$", line).is_some() {
                self.truncated = true;
            } else if line.contains(" was not built: ") {
                let claim = self.unbuilt(line);
                self.claim(line, claim);
            } else if let Some(text) = line.strip_prefix("Since ") {
                let claim = since(self.truth, &format!("Since {text}"));
                self.claim(line, claim);
            } else if let Some((said, _)) = take(r"First: (\S+|no longer fails) (\S+): (.*)$", line) {
                let claim = self.first(&said[0], &said[1], &said[2]);
                self.claim(line, claim);
            } else if let Some(text) = line.strip_prefix("Seen: ") {
                self.seen(text);
            } else if let Some((said, _)) = take(r"Evidence: skew show \S+ (\S+)$", line) {
                let claim = self.id(&said[0]);
                self.claim(line, claim);
            } else {
                tail.push(line.to_owned());
            }
        }
        let first = tail.pop().unwrap_or_default();
        let claim = headline(self.truth, &first);
        self.claim(&first, claim);
        self.windows = tail;
        self.finish(false);
    }

    /// `First: fail pay: node v1 → node v2. Compare …`: a finding and its advice, in one line.
    fn first(&mut self, word: &str, check: &str, text: &str) -> Claim {
        let mut why = "it is not understood".to_owned();
        for (at, _) in text.match_indices(". ") {
            let place = &text[..at];
            let full = if place.starts_with("The check `") { format!("{place}.") } else { place.to_owned() };
            match finding(self.truth, false, word, check, &full) {
                Ok(cells) => match advice(self.truth, false, word, &cells, &text[at + 2..]) {
                    Ok(()) => return Ok(()),
                    Err(other) => why = other,
                },
                Err(other) => why = other,
            }
        }
        Err(why)
    }

    pub(super) fn set(&self, check: &str, parties: &str, axes: &str, mark: Option<&str>) -> Claim {
        let parties = parties.split(" + ").map(|party| {
            let (name, version) = party.split_once('@')?;
            Some(Party::new(&role(name), &VersionId::new(version)))
        });
        let set: BTreeSet<Party> = parties.collect::<Option<_>>().ok_or("no parties")?;
        let found = self.truth.shown().find(|(cell, _)| {
            let here = if cell.axes.is_empty() { String::new() } else { point(&cell.axes) };
            cell.check.as_str() == check && cell.subject == Subject::Set(set.clone()) && here == axes
        });
        let (_, verdict) = found.ok_or("there is no such set")?;
        let word = mark.map(|mark| {
            let glyph = mark.trim_end_matches(['k', '!']);
            GLYPHS.iter().find(|(other, _)| *other == glyph).map_or("untested", |(_, word)| word)
        });
        ensure(word.is_none_or(|word| word == verdict.kind.word()), || format!("it is {}", verdict.kind))
    }

    pub(super) fn unbuilt(&self, line: &str) -> Claim {
        let (said, _) = take(r"(\w+)@(\S+) was not built: (.*)$", line).ok_or("it is not understood")?;
        let axis = self.truth.now.matrix.role(&role(&said[0])).ok_or("there is no such role")?;
        let member = axis.members.get(&VersionId::new(&said[1])).ok_or("there is no such version")?;
        ensure(member.as_ref().err().is_some_and(|unbuilt| unbuilt.detail == said[2]), || "it was built".to_owned())
    }

    /// A matrix as lines of columns.
    fn grid(&mut self, check: &str, lines: &[String], axes: &str) {
        let split = |line: &String| -> Vec<String> {
            line.trim().split("  ").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        let Some((header, rows)) = lines.split_first() else { return };
        let mut columns = split(header);
        let corner = columns.first().filter(|first| first.contains(['→', '↔'])).cloned();
        if corner.is_some() {
            columns.remove(0);
        }
        let roles = corner.map(|corner| {
            let ends = corner.replace('↓', "").replace('↔', "→");
            let (from, to) = ends.split_once('→').unwrap();
            (from.trim().to_owned(), to.trim().to_owned())
        });
        for row in rows {
            let marks = split(row);
            if marks.len() != columns.len() + 1 {
                self.errors.push(format!("{row:?} has {} fields", marks.len()));
                continue;
            }
            for (column, mark) in columns.iter().zip(&marks[1..]) {
                let roles = roles.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
                let claim = self.mark(check, roles, &marks[0], column, axes, mark);
                self.claim(&format!("{check} {roles:?} {} {column} [{axes}] {mark}", marks[0]), claim);
            }
        }
    }
}

/// The worst of all checks of one version towards another.
pub(crate) fn towards(truth: &Truth<'_>, from: &str, to: &str) -> BTreeMap<Cell, VerdictKind> {
    let is = |party: &Party, version: &str| party.version.as_str() == version;
    // The version of a pinned role is in question nowhere.
    let pinned =
        |party: &Party| truth.now.matrix.role(&party.role).is_some_and(|role| matches!(role.kind, RoleKind::Pinned(_)));
    let about = |cell: &Cell| match &cell.subject {
        Subject::Alone(party) => !pinned(party) && is(party, from) && from == to,
        Subject::Ordered(a, b) if pinned(b) => is(a, from) && from == to,
        Subject::Ordered(a, b) => is(a, from) && is(b, to),
        Subject::Symmetric(a, b) => (is(a, from) && is(b, to)) || (is(a, to) && is(b, from)),
        Subject::Set(_) => false,
    };
    let cells = truth.shown().filter(|(cell, _)| truth.is_asked(cell) && about(cell));
    cells.map(|(cell, verdict)| (cell.clone(), verdict.kind.clone())).collect()
}

/// Whether a square between two versions says the worst of them.
pub(crate) fn square(truth: &Truth<'_>, from: &str, to: &str, word: &str) -> Claim {
    let cells = towards(truth, from, to);
    let says = |cell: &Cell, kind: &VerdictKind| kind.word() != "unsupported" || truth.stands(cell) != Stands::Fine;
    let all: Vec<(&Cell, &VerdictKind)> = cells.iter().collect();
    let saying: Vec<(&Cell, &VerdictKind)> = all.iter().copied().filter(|(cell, kind)| says(cell, kind)).collect();
    let of = if saying.is_empty() { all } else { saying };
    let rank = |kind: &VerdictKind| {
        ["fail", "broken", "interference", "flaky", "unbuilt", "error", "untested", "unsupported", "pass"]
            .iter()
            .position(|word| *word == kind.word())
    };
    let worst = of.iter().min_by_key(|(cell, kind)| (truth.stands(cell) != Stands::Wrong, rank(kind)));
    match worst {
        Some((cell, kind)) => ensure(kind.word() == word, || format!("{cell} is {kind}")),
        None => ensure(word == "·" || word == "not asked", || "nothing was asked".to_owned()),
    }
}

/// Whether what stands in the panel of a page is so.
pub(crate) fn panel(reader: &mut Reader<'_, '_>, data: &serde_json::Value) {
    for check in data["checks"].as_array().unwrap() {
        let grids = check["grids"].as_array().unwrap().iter().flat_map(|grid| grid["cells"].as_array().unwrap());
        for shown in grids.chain(check["sets"].as_array().into_iter().flatten()) {
            let cell: Cell = shown["cell"].as_str().unwrap().parse().unwrap();
            let text = shown["sentence"].as_str().unwrap();
            let claim = cell_sentence(reader.truth, &cell, text);
            reader.claim(&format!("{cell}: {text}"), claim);
        }
    }
    for pair in data["together"]["pairs"].as_array().into_iter().flatten() {
        let name = |end: &str| data["together"]["versions"][pair[end].as_u64().unwrap() as usize].as_str().unwrap();
        let cells = towards(reader.truth, name("a"), name("b"));
        let passed = cells.values().filter(|kind| **kind == VerdictKind::Pass).count();
        let so = pair["cells"] == cells.len() && pair["passed"] == passed;
        reader.claim("pair", ensure(so, || format!("{passed} of {} of {pair}", cells.len())));
    }
}

/// How a sweep ended, in the words of the page's facts.
pub(crate) fn ended(end: SweepEnd) -> &'static str {
    match end {
        SweepEnd::Completed => "",
        SweepEnd::Interrupted => "the sweep was interrupted",
        SweepEnd::Unfinished => "the sweep has not ended or was interrupted",
        SweepEnd::Budget => "the sweep's budget was spent",
        SweepEnd::Limit => "the sweep's time limit passed",
    }
}
