//! The one TLS provider of the process.

/// Chooses ring for everything that speaks TLS; who comes second changes nothing. Clients that are made without a
/// provider panic, so whoever makes one calls this first.
pub fn choose_tls() {
    // An error says that a provider was chosen already: this one, there is no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
