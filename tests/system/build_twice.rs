//! `skew build --twice` with the real binary: a Dockerfile, a flake and a command come out the same, and of what does not
//! it says where it differs and why.

use std::process::Command;

use skew_testing::needs::skipped;

use crate::common::{Place, Ran};
use crate::fake_node;

const SPEC: &str = r#"
[system]
name = "twice"
[sources.twice]
repository = "repo"
versions = { tags = "v{version}" }

[roles.plain]
run = ["{{ root }}/bin/fake_node"]
recipe = { kind = "command", run = ["sh", "-ec", "mkdir $OUT/bin; cp fake_node $OUT/bin/"] }
[roles.stamped]
run = ["{{ root }}/bin/fake_node"]
[roles.stamped.recipe]
kind = "command"
run = ["sh", "-ec", "mkdir $OUT/bin $OUT/etc; cp fake_node $OUT/bin/; echo $SOURCE > $OUT/etc/built-in"]
[roles.dockerfile]
run = ["{{ root }}/bin/fake_node"]
recipe = { kind = "dockerfile", dockerfile = "Dockerfile" }
[roles.nix]
run = ["{{ root }}/bin/fake_node"]
recipe = { kind = "nix", attr = "node" }
[roles.elsewhere]
run = ["{{ root }}/bin/fake_node"]
recipe = { kind = "command", tools = ["no-such-compiler"], run = ["no-such-compiler"] }

[topology]
plain = { count = 1 }
stamped = { count = 1 }
dockerfile = { count = 1 }
nix = { count = 1 }
elsewhere = { count = 1 }
"#;

const FLAKE: &str = r#"{
  outputs = { self }: {
    packages.x86_64-linux.node = derivation {
      name = "twice";
      system = "x86_64-linux";
      builder = "/bin/sh";
      source = ./fake_node;
      args = [ "-c" "PATH=/usr/bin:/bin; mkdir -p $out/bin; cp $source $out/bin/fake_node; chmod 755 $out/bin/fake_node" ];
    };
  };
}
"#;

/// What Nix needs where there is no daemon and nothing can be fetched.
const NIX: &str = "experimental-features = nix-command flakes\nsandbox = false\nbuild-users-group =\nsubstituters =\n";

/// Whether a tool is there; in CI it must be.
fn has(tool: &str, args: &[&str]) -> bool {
    let there = Command::new(tool).args(args).output().is_ok_and(|output| output.status.success());
    if !there {
        skipped(&format!("building with {tool} twice"), "it is not on this machine");
    }
    there
}

#[test]
fn what_two_builds_are_is_said_for_every_kind() {
    let place = Place::new();
    place.write("skew.toml", SPEC);
    place.write("repo/Dockerfile", "FROM scratch\nCOPY fake_node /bin/\nUSER 1000\n");
    place.write("repo/flake.nix", FLAKE);
    std::fs::copy(fake_node::static_binary(), place.join("repo/fake_node")).expect("copied");
    for args in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "a program"], &["tag", "v1.0.0"]] {
        place.git("repo", args);
    }
    let twice = |role: &str, code: i32| {
        let mut command = place.command(&["build", "--twice", role]);
        Ran::of(command.env("NIX_CONFIG", NIX).output().expect("skew starts")).expect(code).stdout
    };
    let plain = twice("plain", 0);
    assert!(plain.starts_with("same     plain@v1.0.0") && plain.lines().count() == 1, "{plain}");
    // No machine can build that one, and nobody asked for it.
    let elsewhere = place.skew(&["build", "--twice", "plain", "elsewhere"]).expect(3);
    assert!(elsewhere.stderr.contains("no-such-compiler"), "{}", elsewhere.stderr);
    let stamped = twice("stamped", 1);
    assert!(stamped.starts_with("differs  stamped@v1.0.0"), "{stamped}");
    assert!(stamped.contains("they differ first in etc/built-in: its content"), "{stamped}");
    assert!(stamped.contains("--remap-path-prefix"), "{stamped}");
    if has("docker", &["info"]) {
        let dockerfile = twice("dockerfile", 0);
        assert!(dockerfile.starts_with("same     dockerfile@v1.0.0"), "{dockerfile}");
    }
    if has("nix", &["--version"]) {
        let nix = twice("nix", 0);
        assert!(nix.starts_with("same     nix@v1.0.0") && nix.contains("`nix build --rebuild`"), "{nix}");
    }
}
