//! Backends: what all of them must do, and what the process backend does when nodes, and its own process, behave badly.

mod conformance;
mod docker;
mod fake;
#[path = "../fake_node/mod.rs"]
mod fake_node;
mod ground;
#[path = "../fake_node/image.rs"]
mod image;
mod kubernetes;
mod kubernetes_files;
mod oci_image;
mod process;

use skew_deploy::Addressing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_conform() {
    let dir = tempfile::tempdir().unwrap();
    let backend = fake_node::backend(dir.path(), Addressing::detect());
    conformance::suite(&backend, &fake_node::image()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_conform_with_one_address_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let backend = fake_node::backend(dir.path(), Addressing::Ports);
    conformance::suite(&backend, &fake_node::image()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fake_conforms() {
    conformance::suite(&fake::backend(), &fake_node::image()).await;
}
