//! A sweep whose evidence outlives the machine.

use skew_image::registry::Patience;

use super::SweepError;
use super::evidence::{Evidence, EvidenceError, Keeper};
use super::file_or_tag::FileOrTag;
use super::outcome::Outcome;
use super::perform::sweep_keeping;
use super::request::Request;
use super::say::{chain, note};
use crate::record::Store;

/// Sweeps, with the evidence at a place taken in before, and left there now and then and after, however the sweep ended. Beside what the
/// sweep came to it tells whether the evidence could be left.
///
/// # Errors
/// When the evidence cannot be taken in, or the sweep cannot be done.
pub async fn sweep_with(
    request: Request<'_>,
    place: Option<&FileOrTag>,
) -> Result<(Outcome, Result<(), EvidenceError>), SweepError> {
    let Some(place) = place else { return Ok((sweep_keeping(request, None).await?, Ok(()))) };
    let (state, events) = (request.state, request.events.clone());
    let evidence = Evidence::at(place, &request.spec, request.host, state, Patience::LONG)?;
    let meanwhile = Evidence::at(place, &request.spec, request.host, state, Patience::SHORT)?;
    {
        let (mut store, notices) = Store::open(state.dir())?;
        notices.into_iter().for_each(|notice| note(&events, notice.to_string()));
        let merged = evidence.take(&mut store).await?;
        note(&events, format!("{} entries of evidence taken from {place}", merged.added + merged.already));
        for id in merged.conflicts {
            note(&events, format!("attempt {id} is here with other content: ours was kept"));
        }
    }
    let keeper = Keeper::new(meanwhile, events.clone());
    match sweep_keeping(request, Some(keeper)).await {
        Ok(mut outcome) => {
            let left = evidence.leave(&mut outcome.store).await;
            if left.is_ok() {
                note(&events, format!("evidence left in {place}"));
            }
            Ok((outcome, left))
        }
        Err(error) => {
            // What was recorded until then is worth as much.
            let left = async {
                let (mut store, _) = Store::open(state.dir())?;
                evidence.leave(&mut store).await
            };
            if let Err(error) = left.await {
                note(&events, format!("failed to {}", chain(&error)));
            }
            Err(error)
        }
    }
}
