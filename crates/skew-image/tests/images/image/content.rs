//! Content ids: equal files at different times are the same program.

use skew_spec::{PrebuiltRecipe, RecipeKind};

use super::*;

/// Issue 10, 7: without `paths` every commit is built, told its time; what it comes to is the same.
#[test]
fn equal_trees_at_different_times_are_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    repo.git(&["rm", "-q", "docs/x"]);
    repo.commit("program", "one\n");
    repo.tag("v2.0.0");
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let recipe = recipe(command("sh build.sh; ln -s program $OUT/bin/link"));
    let (old, new) = (shop.build(&recipe, "v1.0.0").unwrap(), shop.build(&recipe, "v2.0.0").unwrap());
    assert_eq!(shop.facts(&recipe, "v1.0.0").trees, shop.facts(&recipe, "v2.0.0").trees);
    assert_ne!(shop.facts(&recipe, "v1.0.0").epoch, shop.facts(&recipe, "v2.0.0").epoch);
    assert_ne!(old.layers[0].diff, new.layers[0].diff, "the layers have the times of their commits");
    assert_eq!(old.content, new.content);
    assert_ne!(old.content, shop.build(&recipe, "v1.1.0").unwrap().content);
}

/// The same files, by a recipe of another kind and for another commit.
#[test]
fn files_that_exist_already_are_the_same_program_for_every_commit() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let files = dir.path().join("files");
    fs::create_dir_all(files.join("bin")).unwrap();
    fs::write(files.join("bin/program"), "one\n").unwrap();
    let prebuilt = Recipe {
        kind: RecipeKind::Prebuilt(PrebuiltRecipe {
            path: files.display().to_string(),
            sha256: BTreeMap::new(),
            strip: 0,
        }),
        ..recipe(command("true"))
    };
    let content = shop.build(&prebuilt, "v1.0.0").unwrap().content;
    assert_eq!(shop.build(&prebuilt, "v1.1.0").unwrap().content, content);
    assert_eq!(shop.build(&recipe(command("sh build.sh")), "v1.0.0").unwrap().content, content);
    let entrypoint = vec!["bin/program".to_owned(), "--verbose".to_owned()];
    let other = Recipe { entrypoint, ..prebuilt };
    assert_ne!(shop.build(&other, "v1.0.0").unwrap().content, content, "it is run in another way");
}

/// What an earlier skew built is identified anew, without being built again.
#[test]
fn images_of_before_get_their_new_ids() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let recipe = recipe(command("sh build.sh"));
    let key = shop.key(&recipe, "v1.0.0");
    let built = shop.build(&recipe, "v1.0.0").unwrap();
    shop.layout.record(&key, &built).unwrap();
    let record = shop.layout.root().join("keys").join(key.hex());
    let old = Built { content: Digest::of(b"what it was"), ..built.clone() };
    let write = |built: &Built| fs::write(&record, serde_json::to_vec(built).unwrap()).unwrap();
    write(&old);
    assert_eq!(shop.layout.find(&key), Some(built.clone()));
    assert!(fs::read_to_string(&record).unwrap().contains(&built.content.to_string()), "it is written down");
    // The image of another key is one that was built elsewhere, as far as this key is concerned.
    let other = Digest::of(b"another key");
    assert_eq!(shop.layout.identify(&other, old.clone()).unwrap(), old);
    // What is damaged is built again.
    fs::write(shop.layout.blob(&built.layers[0].digest), vec![0; usize::try_from(built.layers[0].bytes).unwrap()])
        .unwrap();
    write(&old);
    assert_eq!(shop.layout.find(&key), None);
}
