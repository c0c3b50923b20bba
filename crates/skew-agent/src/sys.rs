//! System calls. All `unsafe` is in this file and in `start`.
#![allow(unsafe_code, reason = "system calls")]

use core::arch::asm;

/// The numbers that differ between architectures.
#[cfg(target_arch = "x86_64")]
pub(crate) mod n {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const FSTAT: usize = 5;
    #[cfg(agent_program)]
    pub(crate) const MMAP: usize = 9;
    pub(crate) const SIGPROCMASK: usize = 14;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const CONNECT: usize = 42;
    pub(crate) const BIND: usize = 49;
    pub(crate) const LISTEN: usize = 50;
    pub(crate) const SETSOCKOPT: usize = 54;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const FCHMOD: usize = 91;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const GETDENTS64: usize = 217;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const MKDIRAT: usize = 258;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const SYMLINKAT: usize = 266;
    pub(crate) const READLINKAT: usize = 267;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const O_DIRECTORY: usize = 0o200_000;
    pub(crate) const O_NOFOLLOW: usize = 0o400_000;
    pub(crate) const STAT_MODE: usize = 24;
}

/// The numbers that differ between architectures.
#[cfg(target_arch = "aarch64")]
pub(crate) mod n {
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const FSTAT: usize = 80;
    #[cfg(agent_program)]
    pub(crate) const MMAP: usize = 222;
    pub(crate) const SIGPROCMASK: usize = 135;
    pub(crate) const NANOSLEEP: usize = 101;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const CONNECT: usize = 203;
    pub(crate) const BIND: usize = 200;
    pub(crate) const LISTEN: usize = 201;
    pub(crate) const SETSOCKOPT: usize = 208;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const KILL: usize = 129;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const CHDIR: usize = 49;
    pub(crate) const FCHMOD: usize = 52;
    pub(crate) const SETPGID: usize = 154;
    pub(crate) const GETDENTS64: usize = 61;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const MKDIRAT: usize = 34;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const SYMLINKAT: usize = 36;
    pub(crate) const READLINKAT: usize = 78;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const DUP3: usize = 24;
    pub(crate) const PIPE2: usize = 59;
    pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const O_DIRECTORY: usize = 0o40_000;
    pub(crate) const O_NOFOLLOW: usize = 0o100_000;
    pub(crate) const STAT_MODE: usize = 16;
}

/// Makes a system call; a negative result is an error's number. Every pointer given is to memory that lives long enough.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel checks what it is given; callers pass pointers to live memory of the right size.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
             in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Makes a system call; a negative result is an error's number. Every pointer given is to memory that lives long enough.
#[cfg(target_arch = "aarch64")]
pub(crate) fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel checks what it is given; callers pass pointers to live memory of the right size.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2],
             in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        call(n::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]);
    }
}
