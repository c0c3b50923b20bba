//! Sweeps of the past: what each asked is recorded with it, and what it came to is judged again, by today's rules, from
//! the evidence that was there then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::thread;

use skew_core::model::{Attempt, Cell, Digest, Overlay, Question, SweepId, SweepRecord};
use skew_core::verdict::{self, Decision};
use skew_host::{cores, joined};

use super::identity::last;
use super::outcome::Outcome;
use crate::record::{Reader, RecordError, Store};

/// The most that is kept of a question, in bytes: a matrix of a thousand versions has a few megabytes.
const QUESTION: u64 = 16 << 20;

/// Stores what a sweep asked. None when it is larger than anything that is kept.
pub(super) fn keep_question(store: &Store, question: &Question) -> Result<Option<Digest>, RecordError> {
    let json = serde_json::to_vec(question).map_err(RecordError::Encode)?;
    if json.len() as u64 > QUESTION {
        return Ok(None);
    }
    Ok(Some(store.put_log_bytes(&json, QUESTION)?.digest))
}

/// How many sweeps a report looks back on: each is judged again.
const HISTORY: usize = 10;

/// How a stored log, or a question, is read.
type ReadLog<'a> = Box<dyn Fn(&Digest) -> Option<Vec<u8>> + 'a>;

/// What is recorded, however it was read.
pub struct Records<'a> {
    sweeps: Cow<'a, [SweepRecord]>,
    attempts: Cow<'a, [Attempt]>,
    log: ReadLog<'a>,
}

/// A sweep of the past.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its record.
    pub record: SweepRecord,
    /// What it asked.
    pub question: Question,
    /// What is known, by today's rules.
    pub decision: Decision,
    /// How that stood to what was known to fail.
    pub overlays: BTreeMap<Cell, Overlay>,
}

/// Why there is no such sweep to look at.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// None was recorded.
    #[error("find a sweep: none that ended is recorded")]
    None,
    /// There is only one.
    #[error("find a sweep before {0}: it is the first that is recorded")]
    First(SweepId),
    /// No sweep is called this.
    #[error("find the sweep {name:?}; those that ended are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The newest of those that are there.
        known: String,
    },
    /// It has nothing to be compared.
    #[error(
        "compare {0}: it was interrupted, a shard, a single network, or recorded before skew kept what a sweep asked"
    )]
    NoQuestion(SweepId),
    /// What it asked is lost.
    #[error("read what {0} asked: it is not stored here any more, or was written by another version of skew")]
    Lost(SweepId),
}

/// Sweeps named in a message.
const NAMED: usize = 5;

impl<'a> Records<'a> {
    /// Those of a reader.
    pub fn of_reader(reader: &'a Reader) -> Self {
        Self {
            sweeps: reader.sweeps().into(),
            attempts: reader.attempts().into(),
            log: Box::new(|digest| reader.log(digest).ok()),
        }
    }

    /// Those of a store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of_store(store: &'a Store) -> Result<Self, RecordError> {
        let log = Box::new(|digest: &Digest| store.log(digest).ok());
        Ok(Self { sweeps: store.sweeps()?.into(), attempts: store.attempts()?.into(), log })
    }

    /// The sweeps of a system that ended and can be compared, the oldest first.
    fn whole(&self, system: Option<&str>) -> Vec<&SweepRecord> {
        let is_whole = |sweep: &&SweepRecord| {
            sweep.ended_ms.is_some() && sweep.question.is_some() && system.is_none_or(|name| sweep.system == name)
        };
        let mut whole: Vec<&SweepRecord> = self.sweeps.iter().filter(is_whole).collect();
        whole.sort_by_key(|sweep| (sweep.started_ms, &sweep.id));
        whole
    }

    /// The sweep of a name: an id or the beginning of one, `latest`, or `previous`, the one before it.
    ///
    /// # Errors
    /// When there is none, or it cannot be compared.
    pub fn named(&self, name: &str) -> Result<Past, PastError> {
        let whole = self.whole(None);
        let record = match name {
            "latest" => whole.last().copied().ok_or(PastError::None)?,
            "previous" => match whole.as_slice() {
                [] => return Err(PastError::None),
                [only] => return Err(PastError::First(only.id.clone())),
                [.., previous, _] => previous,
            },
            name => {
                let mut named = self.sweeps.iter().filter(|sweep| sweep.id.0.starts_with(name));
                match (named.next(), named.next()) {
                    (Some(one), None) => one,
                    (Some(_), Some(_)) | (None, _) => {
                        let exact = self.sweeps.iter().find(|sweep| sweep.id.0 == name);
                        let known = whole.iter().rev().take(NAMED).map(|sweep| sweep.id.0.clone());
                        let known: Vec<String> = known.collect();
                        exact.ok_or_else(|| PastError::Unknown { name: name.to_owned(), known: known.join(", ") })?
                    }
                }
            }
        };
        Ok(judged(record, self.question(record)?, &self.seen(record)))
    }

    /// The sweep of a system that began last.
    pub fn last(&self, system: &str) -> Option<&SweepRecord> {
        last(&self.sweeps, system)
    }

    /// What counts when no sweep begins: what the last one of a system believed and found, and what was recorded since.
    pub fn evidence(&self, system: &str) -> Vec<Attempt> {
        let last = self.last(system);
        let since = last.map_or(0, |sweep| sweep.believed_since_ms);
        let counts = |attempt: &Attempt| -> Option<Attempt> {
            if last.is_some_and(|sweep| sweep.id == attempt.sweep) {
                return Some(attempt.clone());
            }
            let is_recent = attempt.started_ms >= since;
            if is_recent { verdict::carry_over(Cow::Borrowed(attempt)).map(Cow::into_owned) } else { None }
        };
        self.attempts.iter().filter_map(counts).collect()
    }

    /// The evidence that was there when a sweep ended.
    pub fn seen_by(&self, record: &SweepRecord) -> Vec<Attempt> {
        self.seen(record).into_iter().map(Cow::into_owned).collect()
    }

    fn seen(&self, record: &SweepRecord) -> Vec<Cow<'_, Attempt>> {
        self.attempts.iter().filter_map(|attempt| seen(record, attempt)).collect()
    }

    /// The last sweeps of the same system that ended, began before this one and asked all cells, the oldest first; a
    /// bounded number. One that cannot be read is left out.
    pub fn before(&self, this: &SweepRecord) -> Vec<Past> {
        let mut asked: Vec<(&SweepRecord, Question)> = Vec::new();
        for record in self.whole(Some(&this.system)).into_iter().rev() {
            if asked.len() == HISTORY {
                break;
            }
            if record.id == this.id || record.started_ms > this.started_ms {
                continue;
            }
            match self.question(record) {
                Ok(question) if question.matrix.only.is_none() => asked.push((record, question)),
                Ok(_) | Err(_) => {}
            }
        }
        asked.reverse();
        // A quiet night asks the same and finds nothing new: it is not judged again, and gets what the one before it
        // came to. The others are judged beside each other.
        let is_quiet = |place: usize| place > 0 && self.is_quiet(asked[place].0, asked[place - 1].0);
        let loud: Vec<usize> = (0..asked.len()).filter(|place| !is_quiet(*place)).collect();
        let attempts = &*self.attempts;
        let judge = |place: usize| {
            let (record, question) = &asked[place];
            let seen: Vec<_> = attempts.iter().filter_map(|attempt| seen(record, attempt)).collect();
            judged(record, question.clone(), &seen)
        };
        let mut judgements = BTreeMap::new();
        for some in loud.chunks(cores()) {
            thread::scope(|scope| {
                let threads: Vec<_> = some.iter().map(|place| (*place, scope.spawn(|| judge(*place)))).collect();
                judgements.extend(threads.into_iter().map(|(place, thread)| (place, joined(thread))));
            });
        }
        let mut told: Vec<Past> = Vec::new();
        for (place, (record, _)) in asked.iter().enumerate() {
            let same = || told.last().map(|past| Past { record: (*record).clone(), ..past.clone() });
            told.extend(judgements.remove(&place).or_else(same));
        }
        told
    }

    /// Whether a sweep asked the same as an earlier one, of the same evidence: neither ran a network.
    fn is_quiet(&self, later: &SweepRecord, earlier: &SweepRecord) -> bool {
        let ran = |sweep: &SweepRecord| self.attempts.iter().any(|attempt| attempt.sweep == sweep.id);
        let between = |attempt: &Attempt| (earlier.started_ms..later.started_ms).contains(&attempt.started_ms);
        later.question == earlier.question
            && later.believed_since_ms == earlier.believed_since_ms
            && !ran(later)
            && !ran(earlier)
            && !self.attempts.iter().any(between)
    }

    /// What a sweep asked.
    fn question(&self, record: &SweepRecord) -> Result<Question, PastError> {
        let digest = record.question.ok_or_else(|| PastError::NoQuestion(record.id.clone()))?;
        let lost = || PastError::Lost(record.id.clone());
        serde_json::from_slice(&(self.log)(&digest).ok_or_else(lost)?).map_err(|_| lost())
    }
}

/// Judges a sweep by the evidence that it had.
fn judged(record: &SweepRecord, question: Question, seen: &[Cow<'_, Attempt>]) -> Past {
    let mut decision = verdict::decide(&question.matrix, seen);
    if let Some(only) = &question.matrix.only {
        decision.asked.retain(|cell| only.contains(cell));
    }
    let overlays = verdict::overlay(&decision.verdicts, &question.known);
    Past { record: record.clone(), question, decision, overlays }
}

/// An attempt as a sweep saw it: its own as it is, and of one before it what is carried over.
fn seen<'a>(sweep: &SweepRecord, attempt: &'a Attempt) -> Option<Cow<'a, Attempt>> {
    if attempt.sweep == sweep.id {
        return Some(Cow::Borrowed(attempt));
    }
    let was_there = attempt.started_ms < sweep.started_ms && attempt.started_ms >= sweep.believed_since_ms;
    if was_there { verdict::carry_over(Cow::Borrowed(attempt)) } else { None }
}

impl Outcome {
    /// The last sweeps before this one, the oldest first; none for a part of a sweep, which compares with nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn before(&self) -> Result<Vec<Past>, RecordError> {
        if self.shard.is_some() {
            return Ok(Vec::new());
        }
        Ok(Records::of_store(&self.store)?.before(&self.record))
    }
}
