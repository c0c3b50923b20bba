//! What a sweep comes to when others ran its networks.

use skew_core::model::{Attempt, Matrix};
use skew_core::verdict::{self, Decision};
use skew_spec::Spec;

use super::identity::{believed_since, now_ms};
use super::matrix::{known, matrix};
use super::outcome::Outcome;
use super::request::{Options, Request, begin, narrowed, setting};
use super::say::note;
use super::{Frozen, SweepError};
use crate::record::{Entry, Store};

/// What a sweep comes to whose networks others ran: nothing is run here. `attempts` are what they found and began with.
///
/// # Errors
/// When the records cannot be written, or a pattern means no cell.
pub(super) fn conclude(request: &Request<'_>, frozen: &Frozen, attempts: Vec<Attempt>) -> Result<Outcome, SweepError> {
    let Request { spec, state, options, .. } = request;
    let (mut store, notices) = Store::open(state.dir())?;
    notices.into_iter().for_each(|notice| note(&request.events, notice.to_string()));
    let mut record = begin(spec, &frozen.resolved(), options, request.command.clone());
    // A fresh sweep began with nothing, so the oldest of what was found is its own.
    let oldest = attempts.iter().map(|attempt| attempt.started_ms).min().filter(|_| options.fresh);
    record.believed_since_ms =
        oldest.unwrap_or_else(|| believed_since(&[], &record, options.fresh, spec.limits.recheck));
    let (matrix, decision) = decided(spec, frozen, options, &attempts)?;
    record.ended_ms = Some(now_ms());
    store.append(&Entry::Sweep(record.clone()))?;
    let overlays = verdict::overlay(&decision.verdicts, &known(spec, &frozen.resolved(), &matrix));
    let (_, builds) = frozen.built();
    Ok(Outcome {
        record,
        matrix,
        decision,
        overlays,
        attempts,
        builds,
        networks: 0,
        built: 0,
        interrupted: false,
        shard: None,
        store,
    })
}

/// What attempts say about a frozen sweep.
pub(super) fn decided(
    spec: &Spec,
    frozen: &Frozen,
    options: &Options,
    attempts: &[Attempt],
) -> Result<(Matrix, Decision), SweepError> {
    let (images, _) = frozen.built();
    let matrix = narrowed(matrix(spec, &frozen.resolved(), &images, &setting(spec, options)), &options.only)?;
    let mut decision = verdict::decide(&matrix, attempts);
    if let Some(only) = &matrix.only {
        decision.asked.retain(|cell| only.contains(cell));
    }
    Ok((matrix, decision))
}
