//! The registry that a spec names: built images go there, and come from there instead of being built.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use skew_core::event::{Event, PushEnd};
use skew_core::model::{Digest, RegistryUrl, RemoteAt, RemoteImage, Unbuilt};
use skew_host::Cancel;
use skew_image::registry::{Access, Patience, Pushed, Registry, RegistryError, Trouble};
use skew_image::{Built, Layout, LayoutError};
use skew_spec::Spec;

use super::machine::Host;
use super::say::chain;
use super::survey::Survey;
use super::wanted::{ImageOf, Images};

/// Images that are pushed at once.
const AT_ONCE: usize = 8;

/// How often a pull looks whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(50);

/// A spec's registry, and where its images are in it.
pub struct Publisher {
    registry: Registry,
    url: RegistryUrl,
    system: String,
    /// Set when it is no use to ask it again.
    given_up: AtomicBool,
}

/// An image that is in the registry.
#[derive(Debug, Clone)]
pub struct Published {
    /// Whose it is.
    pub of: ImageOf,
    /// Where it is, for good.
    pub reference: RemoteImage,
    /// Its tags: that of the version, and that of the build key.
    pub tags: [RemoteAt; 2],
    /// What was done for it.
    pub pushed: Pushed,
}

impl Publisher {
    /// That of a spec; none where the spec names no registry.
    ///
    /// # Errors
    /// When this machine cannot make connections.
    pub fn of(spec: &Spec, host: &Host, patience: Patience) -> Result<Option<Self>, RegistryError> {
        let Some(named) = &spec.registry else { return Ok(None) };
        let access = Access { docker_config: host.docker_config(), insecure: named.insecure, patience };
        Ok(Some(Self {
            registry: Registry::new(&named.url.host, access)?,
            url: named.url.clone(),
            system: spec.system.clone(),
            given_up: AtomicBool::new(false),
        }))
    }

    fn repository(&self, of: &ImageOf) -> String {
        self.url.repository(&self.system, &of.reference())
    }

    /// Where an image is, or would be, for good.
    pub fn reference(&self, of: &ImageOf, manifest: Digest) -> RemoteImage {
        self.url.image(&self.repository(of), manifest)
    }

    /// Whether an image is there.
    ///
    /// # Errors
    /// When the registry does not answer, or not to us.
    pub async fn has(&self, of: &ImageOf, manifest: Digest) -> Result<bool, RegistryError> {
        let found = self.registry.resolve(&self.repository(of), &RemoteAt::Digest(manifest)).await?;
        Ok(found == Some(manifest))
    }

    /// Fetches the image with a build key into the layout, where there is one. Blocks; call it where that is allowed.
    ///
    /// # Errors
    /// When the registry does not answer, or it was cancelled: the image can be built instead. A registry that could not
    /// be asked once is not asked again.
    pub(super) fn fetch(
        &self,
        layout: &Layout,
        of: &ImageOf,
        key: &Digest,
        cancel: &Cancel,
    ) -> Result<Option<Built>, RegistryError> {
        if self.given_up.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (repository, at) = (self.repository(of), RemoteAt::key(key));
        let pulled = tokio::runtime::Handle::current().block_on(async {
            tokio::select! {
                pulled = self.registry.pull(layout, &repository, &at) => pulled,
                () = cancelled(cancel) => Ok(None),
            }
        });
        if let Err(error) = &pulled {
            let hopeless = match &error.trouble {
                Trouble::Unreachable(_)
                | Trouble::Slow(_)
                | Trouble::Busy { .. }
                | Trouble::Credentials { .. }
                | Trouble::NoCredentials(_) => true,
                Trouble::Forbidden(_)
                | Trouble::Status { .. }
                | Trouble::Nonsense(_)
                | Trouble::WrongDigest { .. }
                | Trouble::Damaged(_)
                | Trouble::Here(_)
                | Trouble::Contended(_) => false,
            };
            if hopeless && self.given_up.swap(true, Ordering::Relaxed) {
                // Whoever asked first says it.
                return Ok(None);
            }
        }
        let identified = |built| layout.identify(key, built).map_err(|error| self.damaged(&repository, &at, &error));
        pulled?.map(identified).transpose()
    }

    fn damaged(&self, repository: &str, at: &RemoteAt, error: &LayoutError) -> RegistryError {
        let place = format!("{}/{repository}", self.url.host);
        RegistryError { action: format!("use {at} from"), place, trouble: Trouble::Nonsense(chain(error)) }
    }

    /// Fetches every image that the layout does not have. One that cannot be had is an error of the infrastructure.
    pub async fn fetch_missing(&self, layout: &Layout, images: &mut Images) {
        let missing = images.iter().filter_map(|(of, image)| Some((of.clone(), image.as_ref().ok()?.manifest)));
        let missing: Vec<(ImageOf, Digest)> = missing.filter(|(_, manifest)| !layout.has(manifest)).collect();
        let fetching = missing.into_iter().map(async |(of, manifest)| {
            let pulled = self.registry.pull(layout, &self.repository(&of), &RemoteAt::Digest(manifest)).await;
            let detail = match pulled {
                Ok(Some(_)) => return None,
                Ok(None) => format!("{} is not in the registry; push it", self.reference(&of, manifest)),
                Err(error) => format!("failed to {}", chain(&error)),
            };
            Some((of, Unbuilt { infrastructure: true, detail }))
        });
        let failed: Vec<_> = stream::iter(fetching).buffer_unordered(AT_ONCE).collect().await;
        images.extend(failed.into_iter().flatten().map(|(of, unbuilt)| (of, Err(unbuilt))));
    }

    /// Sends every image that there is, those that share layers beside each other. The order is that of the survey.
    pub async fn push(
        &self,
        survey: &Survey,
        images: &Images,
        events: &mpsc::Sender<Event>,
    ) -> Vec<(ImageOf, Result<Published, RegistryError>)> {
        let pushing = survey.plans.iter().filter_map(|plan| {
            let (Ok(key), Some(Ok(image))) = (&plan.key, images.get(&plan.wanted.of)) else { return None };
            Some((plan.wanted.of.clone(), *key, image.manifest))
        });
        let pushing = pushing.map(async |(of, key, manifest)| {
            let began = Instant::now();
            let repository = self.repository(&of);
            let label = RemoteAt::label(&of.version);
            let pushed = self.registry.push(&survey.layout, &manifest, &repository, &label, &key).await;
            let how = match &pushed {
                Ok(Pushed { unchanged: true, .. }) => PushEnd::Unchanged,
                Ok(Pushed { bytes, .. }) => PushEnd::Pushed { bytes: *bytes },
                Err(error) => PushEnd::Error(chain(error)),
            };
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            // Whoever showed events is gone: nobody is to be told.
            let _ = events.send(Event::PushEnded { image: of.to_string(), how, ms });
            let published = pushed.map(|pushed| Published {
                reference: self.reference(&of, manifest),
                tags: [label, RemoteAt::key(&key)],
                of: of.clone(),
                pushed,
            });
            (of, published)
        });
        stream::iter(pushing).buffered(AT_ONCE).collect().await
    }
}

async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(GLANCE).await;
    }
}
