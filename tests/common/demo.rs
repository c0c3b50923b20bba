//! The demo's ledger, built.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Place;

/// A directory with the demo in it, whose images are built: once for all tests that run at the same time.
pub struct Demo {
    place: Place,
    _original: Arc<Place>,
}

impl Demo {
    pub fn new() -> Self {
        static BUILT: Mutex<Weak<Place>> = Mutex::new(Weak::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let original = built.upgrade().unwrap_or_else(|| {
            let place = Place::new();
            place.skew(&["demo", "--dir", "demo", "--seed", "7", "--budget", "0s"]);
            // One version does not build, as its table says.
            place.skew(&["build", "demo/matrix/ledger.toml"]).expect(1);
            Arc::new(place)
        });
        *built = Arc::downgrade(&original);
        Self { place: original.copy(), _original: original }
    }
}

impl std::ops::Deref for Demo {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}
