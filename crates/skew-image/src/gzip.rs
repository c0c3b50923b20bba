//! Compresses a layer on every core. What comes out depends on what went in, and on nothing of the machine.
//!
//! The input is cut at fixed places. Each piece is deflated by itself and ends on a byte, so that pieces which different
//! threads made can be put behind each other: together they are one gzip member, which every reader takes. Beside them
//! one thread hashes what goes in, one the files that are in it, and one what comes out.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use sha2::{Digest as _, Sha256};
use skew_core::model::Digest;
use skew_host::{cores, joined, lock};

use super::content::files;
use super::store::Blobs;

/// How many bytes are deflated at once. Another number makes other bytes of the same layer.
const PIECE: usize = 1 << 20;

/// How much of a piece is deflated to see whether the rest is worth it, from its middle.
const SAMPLE: usize = 32 << 10;

/// More threads than this would only wait for the one that hashes.
const THREADS: usize = 8;

/// Neither a name nor a time; the fastest level, since most layers never leave this machine; no particular system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A last block that holds nothing.
const END: [u8; 2] = [3, 0];

/// A layer that was written.
pub(crate) struct Written {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// How many these are.
    pub bytes: u64,
    /// The digest before compression.
    pub diff: Digest,
    /// The digest of its files without their times.
    pub files: Digest,
}

/// Writes the archive that `fill` writes as a compressed layer.
///
/// # Errors
/// Those of `fill`, when what it writes is not an archive, and when the blob cannot be written.
pub(crate) fn layer(blobs: &Blobs, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Written> {
    let cores = cores();
    let (blob, diff, files) = compress(blobs.write()?, cores.min(THREADS), |archive| files(archive), fill)?;
    let files = files?;
    let (digest, bytes) = blobs.finish(blob)?;
    Ok(Written { digest, bytes, diff, files })
}

/// Shared by the thread that deflates it and the one that hashes it.
type Piece = Arc<Vec<u8>>;

/// A piece to be deflated, and who waits for it.
type Job = (Piece, Sender<io::Result<Vec<u8>>>);

/// Compresses what `fill` writes into `out`; beside that, the digest of what `fill` wrote, and what `inspect` finds in it.
fn compress<W: Write + Send, T: Send>(
    out: W,
    threads: usize,
    inspect: impl FnOnce(&mut dyn Read) -> T + Send,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(W, Digest, T)> {
    let (jobs, queue) = channel::<Job>();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        // These bound the memory: not more pieces are under way.
        let (order, deflated) = sync_channel(threads * 2);
        let (to_hash, pieces) = sync_channel::<Piece>(threads * 2);
        let (to_inspect, inspected) = sync_channel::<Piece>(threads * 2);
        let inspector = scope.spawn(move || {
            let mut pieces = Pieces { pieces: inspected, piece: Piece::default(), at: 0 };
            let found = inspect(&mut pieces);
            // What it did not read is taken all the same: whoever sends it waits until it is.
            io::copy(&mut pieces, &mut io::sink()).map(|_| found)
        });
        let hasher = scope.spawn(move || hash(&pieces));
        let writer = scope.spawn(move || write(out, &deflated));
        for _ in 0..threads {
            scope.spawn(|| deflate_all(&queue));
        }
        let mut cutter = Cutter { piece: Vec::with_capacity(PIECE), jobs, order, to_hash, to_inspect };
        let filled = fill(&mut cutter).and_then(|()| cutter.cut());
        // The others end when nothing more can come.
        drop(cutter);
        let ((digest, crc), found, written) = (joined(hasher), joined(inspector), joined(writer));
        // Where writing failed, what filled it only noticed that nobody takes any more.
        let mut out = written?;
        filled?;
        out.write_all(&END)?;
        out.write_all(&crc.sum().to_le_bytes())?;
        out.write_all(&crc.amount().to_le_bytes())?;
        Ok((out, digest, found?))
    })
}

/// Cuts what is written into pieces, and hands each to everyone.
struct Cutter {
    piece: Vec<u8>,
    jobs: Sender<Job>,
    order: SyncSender<Receiver<io::Result<Vec<u8>>>>,
    to_hash: SyncSender<Piece>,
    to_inspect: SyncSender<Piece>,
}

impl Cutter {
    fn cut(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Arc::new(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE)));
        let (done, deflated) = channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.order.send(deflated).map_err(|_| gone())?;
        self.jobs.send((Arc::clone(&piece), done)).map_err(|_| gone())?;
        self.to_inspect.send(Arc::clone(&piece)).map_err(|_| gone())?;
        self.to_hash.send(piece).map_err(|_| gone())
    }
}

/// Pieces as they come, to be read one after the other.
struct Pieces {
    pieces: Receiver<Piece>,
    piece: Piece,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            // No more of them come.
            let Ok(piece) = self.pieces.recv() else { return Ok(0) };
            (self.piece, self.at) = (piece, 0);
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.cut()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hash(pieces: &Receiver<Piece>) -> (Digest, Crc) {
    let (mut hasher, mut crc) = (Sha256::new(), Crc::new());
    for piece in pieces {
        hasher.update(&*piece);
        crc.update(&piece);
    }
    (Digest::from_bytes(hasher.finalize().into()), crc)
}

fn write<W: Write>(mut out: W, deflated: &Receiver<Receiver<io::Result<Vec<u8>>>>) -> io::Result<W> {
    out.write_all(&HEADER)?;
    for piece in deflated {
        // Its sender only goes without an answer when its thread panicked, which ends the scope.
        let piece = piece.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        out.write_all(&piece)?;
    }
    Ok(out)
}

/// Deflates pieces until there are no more.
fn deflate_all(queue: &Mutex<Receiver<Job>>) {
    let mut fast = Compress::new(Compression::fast(), false);
    let mut store = Compress::new(Compression::none(), false);
    loop {
        let job = lock(queue).recv();
        let Ok((piece, done)) = job else { return };
        let deflated = is_dense(&mut fast, &piece).and_then(|is_dense| {
            let state = if is_dense { &mut store } else { &mut fast };
            deflate(state, &piece)
        });
        // Nobody waits for it when writing failed.
        let _ = done.send(deflated);
    }
}

/// Whether a piece would hardly get smaller: what is compressed or random already is stored as it is.
fn is_dense(state: &mut Compress, piece: &[u8]) -> io::Result<bool> {
    let begin = (piece.len() / 2).saturating_sub(SAMPLE / 2);
    let sample = &piece[begin..piece.len().min(begin + SAMPLE)];
    Ok(sample.len() == SAMPLE && deflate(state, sample)?.len() > SAMPLE / 16 * 15)
}

/// A piece by itself, up to a whole byte, and not the end of its stream.
fn deflate(state: &mut Compress, piece: &[u8]) -> io::Result<Vec<u8>> {
    state.reset();
    let mut out = Vec::with_capacity(piece.len() + piece.len() / 64 + 1024);
    loop {
        let read = usize::try_from(state.total_in()).map_err(io::Error::other)?;
        let status = state.compress_vec(&piece[read..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        let all = state.total_in() == piece.len() as u64;
        match status {
            // What was left without room is not out yet.
            Status::Ok | Status::BufError if all && out.len() < out.capacity() => return Ok(out),
            Status::Ok | Status::BufError => out.reserve(PIECE / 16),
            Status::StreamEnd => return Err(io::Error::other("the stream ended early")),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(bytes: &[u8], threads: usize, step: usize) -> (Vec<u8>, Digest) {
        let mut read = Vec::new();
        let fill = |out: &mut dyn Write| bytes.chunks(step).try_for_each(|chunk| out.write_all(chunk));
        let inspect = |pieces: &mut dyn Read| pieces.read_to_end(&mut read);
        let (packed, digest, _) = compress(Vec::new(), threads, inspect, fill).expect("compressed");
        assert!(read == bytes, "what is inspected is what was written");
        (packed, digest)
    }

    /// Bytes that repeat themselves as much as `kinds` are few.
    fn some(length: usize, kinds: u32) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        (0..length).map(|_| (next() % kinds) as u8).collect()
    }

    #[test]
    fn pieces_are_one_member_that_unpacks_to_what_went_in() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17] {
            for kinds in [1, 7, 256] {
                let bytes = some(length, kinds);
                let (gzip, digest) = packed(&bytes, 3, 70_000);
                assert_eq!(digest, Digest::of(&bytes));
                let mut decoder = GzDecoder::new(&*gzip);
                let mut unpacked = Vec::new();
                decoder.read_to_end(&mut unpacked).expect("whole");
                assert!(unpacked == bytes, "{length} bytes of {kinds} kinds");
                assert!(decoder.into_inner().is_empty(), "one member, and nothing behind it");
            }
        }
    }

    #[test]
    fn threads_and_steps_change_no_byte() {
        let bytes = some(2 * PIECE + 5, 90);
        let one = packed(&bytes, 1, usize::MAX);
        for (threads, step) in [(2, 1000), (5, PIECE), (8, PIECE + 1)] {
            assert!(packed(&bytes, threads, step) == one, "{threads} threads, {step} bytes at once");
        }
    }

    #[test]
    fn what_is_dense_is_stored_and_the_rest_gets_smaller() {
        let random = some(2 * PIECE, 256);
        let mut text: Vec<u8> =
            (0..100_000).flat_map(|n| format!("node-{n} pays node-{}\n", n % 7).into_bytes()).collect();
        text.resize(2 * PIECE, b'x');
        let length = |bytes: &[u8]| packed(bytes, 2, PIECE).0.len();
        assert!((random.len()..random.len() + random.len() / 1000).contains(&length(&random)));
        assert!(length(&text) < text.len() / 2);
        assert!(length(&[random, text].concat()) < 3 * PIECE);
    }

    #[test]
    fn the_first_error_is_told() {
        #[derive(Debug)]
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let bytes = some(20 * PIECE, 256);
        let error = compress(Full, 2, |_| (), |out| out.write_all(&bytes)).expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let error = compress(Vec::new(), 2, |_| (), |_| Err(io::ErrorKind::NotFound.into())).expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..5000), threads in 1..4usize) {
            let (gzip, _) = packed(&bytes, threads, 999);
            let mut unpacked = Vec::new();
            GzDecoder::new(&*gzip).read_to_end(&mut unpacked).expect("whole");
            prop_assert_eq!(unpacked, bytes);
        }
    }
}
