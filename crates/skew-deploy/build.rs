//! Builds the agent that runs beside nodes on Kubernetes: see `crates/skew-agent`.
//!
//! It is a program of its own, static, without a library, for the same kind of machine as skew. Where it cannot be built
//! (not Linux, no linker), it is empty, and the Kubernetes backend says so.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../skew-agent/src");
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();
    let out = Path::new(&var("OUT_DIR")).join("agent");
    let known = matches!(var("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64");
    if known && var("CARGO_CFG_TARGET_OS") == "linux" {
        let mut rustc = Command::new(var("RUSTC"));
        rustc.args(["../skew-agent/src/lib.rs", "--edition", "2024", "--crate-name", "agent", "--crate-type", "bin"]);
        rustc.args(["--cfg", "agent_program"]);
        rustc.args(["--target", &var("TARGET"), "-o"]).arg(&out);
        let linker = var("RUSTC_LINKER");
        if !linker.is_empty() {
            rustc.arg(format!("-Clinker={linker}"));
        }
        for option in ["panic=abort", "opt-level=s", "codegen-units=1", "relocation-model=static", "strip=symbols"] {
            rustc.args(["-C", option]);
        }
        for option in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none"] {
            rustc.arg(format!("-Clink-arg={option}"));
        }
        if var("CARGO_CFG_TARGET_ENV") == "musl" {
            rustc.arg("-Clink-self-contained=no"); // no start files of its own
        }
        // Flags meant for skew, such as those of a coverage run, are not meant for this.
        rustc.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        match rustc.output() {
            Ok(output) if output.status.success() => return,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().find(|line| line.contains("error")).unwrap_or("no reason was given");
                println!("cargo::warning=the agent for Kubernetes cannot be built: {line}");
            }
            Err(error) => println!("cargo::warning=the agent for Kubernetes cannot be built: {error}"),
        }
    }
    if let Err(error) = std::fs::write(&out, []) {
        println!("cargo::error=write {}: {error}", out.display());
    }
}
