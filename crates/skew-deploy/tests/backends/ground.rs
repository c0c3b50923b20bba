//! Where the tests' cluster and its registry are, and a backend on it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use skew_core::model::Digest;
use skew_deploy::{ImageRef, KubernetesBackend, KubernetesConfig, Reach};
use skew_testing::needs::{Site, site};

use super::conformance::unique;
use super::oci_image;

/// Fails with the registry's words where it does not have a manifest.
fn find(registry: &str, repository: &str, manifest: Digest) -> io::Result<()> {
    let path = format!("/v2/{repository}/manifests/{manifest}");
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: {registry}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(registry)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(answer)) }
}

/// Where the cluster is.
#[derive(Clone)]
pub(crate) struct Ground {
    pub site: Site,
    /// Whose rights skew has there.
    pub kubeconfig: PathBuf,
    /// In the registry, for this test alone: while somebody pushes a manifest again, the registry does not have it.
    repository: String,
}

impl Ground {
    /// None where there is no cluster, said aloud.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let site = site(test)?;
        Some(Self { kubeconfig: site.kubeconfig.clone(), site, repository: format!("skew-tests/{}", unique("fake")) })
    }

    pub(crate) fn config(&self, dir: &Path) -> KubernetesConfig {
        let (registry, repository) = (self.site.registry.clone(), self.repository.clone());
        let publish = move |image: &ImageRef| {
            find(&registry, &repository, image.manifest)?;
            Ok(format!("{registry}/{repository}@{}", image.manifest))
        };
        KubernetesConfig {
            dir: dir.join("run"),
            kubeconfig: Some(self.kubeconfig.clone()),
            site: None,
            context: None,
            namespace: None,
            storage_class: None,
            storage_bytes: 64 << 20,
            pull_secret: None,
            pull_config: None,
            labels: BTreeMap::from([("skew-tests".to_owned(), "yes".to_owned())]),
            reach: Reach::Forward,
            patience: Duration::from_secs(60),
            publish: Arc::new(publish),
        }
    }

    /// The fake node's image, in the registry.
    pub(crate) fn image(&self, dir: &Path) -> ImageRef {
        let layout = dir.join("layout");
        let image = oci_image::fake(&layout);
        self.push(&layout, "1");
        image
    }

    /// Puts a layout's image into the registry.
    pub(crate) fn push(&self, layout: &Path, tag: &str) {
        oci_image::push(layout, &format!("{}/{}:{tag}", self.site.registry, self.repository), None);
    }

    /// Where a pod pulls an image from.
    pub(crate) fn reference(&self, image: &ImageRef) -> String {
        format!("{}/{}@{}", self.site.registry, self.repository, image.manifest)
    }

    /// The cluster, past skew.
    pub(crate) async fn client(&self) -> kube::Client {
        let file = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// The namespace that skew made for an attempt.
    pub(crate) async fn namespace_of(&self, client: &kube::Client, attempt: &str) -> Option<String> {
        let spaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        let ours = |space: &Namespace| {
            let annotation = space.metadata.annotations.as_ref().and_then(|all| all.get("skew/network"));
            annotation.is_some_and(|head| head.contains(&format!("\"{attempt}\"")))
        };
        spaces.items.into_iter().find(ours).and_then(|space| space.metadata.name)
    }

    pub(crate) async fn backend(&self, dir: &Path) -> KubernetesBackend {
        KubernetesBackend::connect(self.config(dir)).await.unwrap()
    }
}

/// `kubectl` of the cluster that the tests built, as its administrator.
pub(crate) fn kubectl(ground: &Ground, args: &[&str]) -> Output {
    ground.site.kubectl().args(args).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A namespace that is removed at the end.
pub(crate) struct Space<'a>(pub &'a Ground, pub String);

impl Drop for Space<'_> {
    fn drop(&mut self) {
        kubectl(self.0, &["delete", "namespace", &self.1, "--ignore-not-found", "--wait=false"]);
    }
}
