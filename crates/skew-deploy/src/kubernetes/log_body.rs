//! What of an answer is a container's log, as a pure function of its bytes.
//!
//! A kubelet that has no log any more, since the container was removed meanwhile, writes a sentence where the log should
//! be, with no status that says so and without a line's end. Nobody's node said that.

/// How those sentences begin.
const EXCUSES: [&[u8]; 4] = [
    b"unable to retrieve container logs for ",
    b"failed to try resolving symlinks in path ",
    b"failed to open log file ",
    b"rpc error: code = ",
];

/// One answer, from its first byte.
pub(super) struct LogBody {
    /// Bytes that are known from answers before.
    skip: u64,
    /// What may become a sentence of the kubelet's; none when it was none.
    held: Option<Vec<u8>>,
}

impl LogBody {
    /// An answer of whose log so many bytes are known.
    pub(super) fn after(read: u64) -> Self {
        Self { skip: read, held: Some(Vec::new()) }
    }

    /// What is new of the log with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(mut held) = self.held.take() else { return self.unknown(bytes) };
        held.extend_from_slice(bytes);
        let may_be = |excuse: &&[u8]| held.starts_with(excuse) || excuse.starts_with(&held);
        if !held.contains(&b'\n') && EXCUSES.iter().any(may_be) {
            self.held = Some(held);
            return Vec::new();
        }
        self.unknown(&held)
    }

    /// What is new at the end of the answer; none when it was no log.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        let held = self.held.take().unwrap_or_default();
        (!EXCUSES.iter().any(|excuse| held.starts_with(excuse))).then(|| self.unknown(&held))
    }

    fn unknown(&mut self, bytes: &[u8]) -> Vec<u8> {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= known as u64;
        bytes[known..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_sentence_is_no_log() {
        let read = |known: u64, chunks: &[&str]| {
            let mut body = LogBody::after(known);
            let mut new: Vec<u8> = chunks.iter().flat_map(|chunk| body.push(chunk.as_bytes())).collect();
            let whole = body.finish().map(|rest| new.extend(rest)).is_some();
            (String::from_utf8(new).expect("text"), whole)
        };
        let log = |text: &str| (text.to_owned(), true);
        assert_eq!(read(0, &[]), log(""));
        let end = "unable to retrieve container logs for it";
        assert_eq!(read(0, &["up\n", end]), log(&format!("up\n{end}")));
        assert_eq!(read(3, &["up", "\nun", "der way\n"]), log("under way\n"));
        assert_eq!(read(5, &["una"]), log(""));
        // What begins like one and goes on differently, or has a line's end, is the node's own.
        assert_eq!(read(0, &["un", "able"]), log("unable"));
        assert_eq!(read(1, &["unable", " to say\n"]), log("nable to say\n"));
        let own = "unable to retrieve container logs for me\n";
        assert_eq!(read(0, &[own]), log(own));
        let none = (String::new(), false);
        assert_eq!(read(5, &["unable to retrieve ", "container logs for containerd://4645"]), none);
        assert_eq!(read(0, &["failed to open log file \"/var/log/pods/a\": no such file"]), none);
    }
}
