//! The `skew` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    skew::cli::main()
}
