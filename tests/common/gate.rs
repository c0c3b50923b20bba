//! What a system under test waits for, so that a test decides when it goes on.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Answers whoever comes with one byte, or keeps them waiting until it is opened.
pub struct Gate {
    address: SocketAddr,
    waiting: Arc<Mutex<Waiting>>,
}

struct Waiting {
    is_open: bool,
    held: Vec<(TcpStream, IpAddr)>,
}

impl Gate {
    /// One that is open, at an address of this machine.
    pub fn open_at(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap_or_else(|error| panic!("{address}: {error}"));
        let gate = Self {
            address: listener.local_addr().expect("an address"),
            waiting: Arc::new(Mutex::new(Waiting { is_open: true, held: Vec::new() })),
        };
        let waiting = Arc::clone(&gate.waiting);
        std::thread::spawn(move || {
            while let Ok((stream, from)) = listener.accept() {
                let mut waiting = locked(&waiting);
                if waiting.is_open {
                    let_go(&stream);
                } else {
                    waiting.held.push((stream, from.ip()));
                }
            }
        });
        gate
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whoever comes waits.
    pub fn close(&self) {
        locked(&self.waiting).is_open = false;
    }

    /// Whoever waits, and whoever comes, goes on.
    pub fn open(&self) {
        let mut waiting = locked(&self.waiting);
        waiting.is_open = true;
        waiting.held.drain(..).for_each(|(stream, _)| let_go(&stream));
    }

    /// Where those who came while it was closed are from.
    pub fn held(&self) -> Vec<IpAddr> {
        locked(&self.waiting).held.iter().map(|(_, from)| *from).collect()
    }
}

impl Drop for Gate {
    /// A test that failed leaves nobody waiting.
    fn drop(&mut self) {
        self.open();
    }
}

fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn let_go(mut stream: &TcpStream) {
    // Whoever was killed meanwhile has no use for it.
    let _ = stream.write_all(b"!");
}
