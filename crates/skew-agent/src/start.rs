//! What the kernel begins with when the agent is a program: the first instruction, an allocator, and what the compiler
//! calls by name.
#![allow(unsafe_code, reason = "there is nothing below it")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

use super::sys::{call, exit, n};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call begin", "ud2");
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "mov x0, sp", "bl begin", "brk #1");

/// The texts that the kernel left on the stack: arguments, then the environment.
#[unsafe(no_mangle)]
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel put a count, that many pointers, a null, the environment's pointers, and a null there.
    let (args, env) = unsafe {
        let count = *stack;
        let first = stack.add(1).cast::<*const u8>();
        let args = core::slice::from_raw_parts(first, count);
        let env = first.add(count + 1);
        let mut length = 0;
        while !(*env.add(length)).is_null() {
            length += 1;
        }
        (args, core::slice::from_raw_parts(env, length))
    };
    exit(crate::main(&mut args.iter().map(|p| text(*p)), &mut env.iter().map(|p| text(*p))))
}

fn text(pointer: *const u8) -> &'static [u8] {
    // SAFETY: a text of the kernel's ends with a zero and stays for ever.
    unsafe { core::ffi::CStr::from_ptr(pointer.cast()).to_bytes() }
}

/// Hands out memory and never takes it back: the agent answers one request and ends.
struct Bump(UnsafeCell<(usize, usize)>);

// SAFETY: the agent has one thread.
unsafe impl Sync for Bump {}

// SAFETY: every piece is handed out once, aligned, from memory that is mapped for ever.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference to the cell outlives this function.
        let (next, end) = unsafe { &mut *self.0.get() };
        let mut at = next.next_multiple_of(layout.align());
        if at + layout.size() > *end {
            let size = (layout.size() + layout.align()).max(1 << 20).next_multiple_of(4096);
            // Readable, writable; private, anonymous.
            let mapped = call(n::MMAP, [0, size, 3, 0x22, usize::MAX, 0]);
            if mapped < 0 {
                return core::ptr::null_mut();
            }
            *end = mapped as usize + size;
            at = (mapped as usize).next_multiple_of(layout.align());
        }
        *next = at + layout.size();
        at as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: Bump = Bump(UnsafeCell::new((0, 0)));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(125)
}

// `alloc` was compiled for programs that unwind; this one never does.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(125)
}

// The compiler calls these by name. Volatile, or it would find out what they do and call them for it.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's pointers are good for `count` bytes.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for i in 0..count {
        // SAFETY: the caller's pointers are good for `count` bytes.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: they overlap in no way that a copy from front to back minds.
        return unsafe { memcpy(to, from, count) };
    }
    for i in (0..count).rev() {
        // SAFETY: the caller's pointers are good for `count` bytes.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for i in 0..count {
        // SAFETY: the caller's pointer is good for `count` bytes.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for i in 0..count {
        // SAFETY: the caller's pointers are good for `count` bytes.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: as above.
    unsafe { memcmp(a, b, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's text ends with a zero.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
