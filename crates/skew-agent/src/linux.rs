//! Linux, as the rest of the agent reads it: errors, files that close themselves, texts, numbers, clocks.

use alloc::vec;
use alloc::vec::Vec;

use super::sys::{call, n};

pub(crate) type Bytes = Vec<u8>;
/// An error's number, as Linux has them.
pub(crate) type Result<T> = core::result::Result<T, i32>;

pub(crate) const ENOENT: i32 = 2;
pub(crate) const EINTR: i32 = 4;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const ENOTDIR: i32 = 20;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ELOOP: i32 = 40;

/// Where the pod's volumes are.
pub(crate) const RUN: &str = "/.skew/run";
pub(crate) const HOME: &str = "/skew";

pub(crate) fn result(value: isize) -> Result<usize> {
    if value < 0 { Err(-(value as i32)) } else { Ok(value as usize) }
}

/// A text for the kernel: a zero at its end.
pub(crate) fn zero(text: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// A file that is closed when it is let go of.
pub(crate) struct Fd(pub(crate) i32);

impl Drop for Fd {
    fn drop(&mut self) {
        call(n::CLOSE, [self.0 as usize, 0, 0, 0, 0, 0]);
    }
}

pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match result(call(n::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    loop {
        match result(call(n::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[write(fd, bytes)?..];
    }
    Ok(())
}

pub(crate) fn sleep_ms(ms: u64) {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    call(n::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]);
}

/// Milliseconds of a clock that only goes forward.
pub(crate) fn now_ms() -> u64 {
    let mut time = [0u64; 2];
    call(n::CLOCK_GETTIME, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
    time[0] * 1000 + time[1] / 1_000_000
}

/// The digits of a number.
pub(crate) fn decimal(mut number: u64) -> Bytes {
    let mut digits = vec![b'0' + (number % 10) as u8];
    while number > 9 {
        number /= 10;
        digits.push(b'0' + (number % 10) as u8);
    }
    digits.reverse();
    digits
}

pub(crate) fn parse(digits: &[u8]) -> u64 {
    let digit = |sum: u64, d: &u8| sum.saturating_mul(10).saturating_add(u64::from(d.wrapping_sub(b'0').min(9)));
    digits.iter().fold(0, digit)
}

/// The argument at an index, empty where there is none.
pub(crate) fn at(strings: &[Bytes], index: usize) -> &[u8] {
    strings.get(index).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        for number in [0, 7, 10, 4096, u64::MAX] {
            assert_eq!(decimal(number), number.to_string().into_bytes());
            assert_eq!(parse(&decimal(number)), number);
        }
        assert_eq!(parse(b""), 0);
        assert_eq!(parse(b"99999999999999999999999"), u64::MAX, "too large is the largest");
    }

    #[test]
    fn an_argument_that_is_missing_is_empty() {
        let strings = [b"a".to_vec()];
        assert_eq!(at(&strings, 0), b"a");
        assert_eq!(at(&strings, 1), b"");
    }

    #[test]
    fn errors_are_negative_numbers() {
        assert_eq!(result(-2), Err(ENOENT));
        assert_eq!(result(3), Ok(3));
        assert_eq!(read(-1, &mut [0]), Err(9), "EBADF");
    }
}
