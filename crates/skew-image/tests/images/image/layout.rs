//! The layout that images are kept in.

use skew_testing::wait::wait;

use super::*;

#[test]
fn layouts_find_images_and_notice_damage() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let recipe = recipe(command("sh build.sh"));
    let key = shop.key(&recipe, "v1.0.0");
    assert_eq!(shop.layout.find(&key), None);
    let built = shop.build(&recipe, "v1.0.0").unwrap();
    shop.layout.record(&key, &built).unwrap();
    assert_eq!(shop.layout.find(&key).as_ref(), Some(&built));
    shop.layout.tag([("node".to_owned(), &shop.version("v1.0.0").id, built.clone())]).unwrap();
    shop.layout.tag([("notary".to_owned(), &shop.version("v1.0.0").id, built.clone())]).unwrap();
    let names: Vec<String> = shop.layout.references().unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["node:v1.0.0", "notary:v1.0.0"]);
    // The same size, another content.
    let layer = shop.layout.blob(&built.layers[0].digest);
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    let into = dir.path().join("unpacked");
    let error = shop.layout.unpack(&built.manifest, &into).unwrap_err();
    assert!(matches!(error, LayoutError::Damaged { .. }), "{error}");
    assert!(!into.exists() && !dir.path().join("unpacked.part").exists());
    // It is as if it had never been built; built again it is the same.
    assert_eq!(shop.layout.find(&key), None);
    assert_eq!(shop.build(&recipe, "v1.0.0").unwrap(), built);
    assert_eq!(shop.layout.find(&key).as_ref(), Some(&built));
    fs::remove_file(shop.layout.blob(&built.manifest)).unwrap();
    assert_eq!(shop.layout.find(&key), None);
}

#[test]
fn unpacking_survives_being_killed_and_happens_once() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let built = shop.build(&recipe(command("sh build.sh")), "v1.0.0").unwrap();
    let into = dir.path().join("unpacked");
    fs::create_dir_all(dir.path().join("unpacked.part/half")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| shop.layout.unpack(&built.manifest, &into).unwrap());
        }
    });
    assert_eq!(fs::read_to_string(into.join("bin/program")).unwrap(), "one\n");
    assert!(!into.join("half").exists());
    let names: BTreeSet<String> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["repo", "shop", "unpacked"].map(str::to_owned).into());
}

#[test]
fn cleaning_keeps_what_lives_and_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let recipe = recipe(command("sh build.sh"));
    let mut keys = Vec::new();
    for label in ["v1.0.0", "v1.1.0"] {
        let built = shop.build(&recipe, label).unwrap();
        let key = shop.key(&recipe, label);
        shop.layout.record(&key, &built).unwrap();
        shop.layout.tag([("node".to_owned(), &shop.version(label).id, built.clone())]).unwrap();
        keys.push(key);
    }
    let root = shop.layout.root().to_owned();
    let live = BTreeSet::from([keys[1]]);
    assert!(matches!(Layout::clean(&root, &live), Err(LayoutError::Busy { .. })));
    drop(shop);
    // A child that another test is just starting may hold it a moment longer.
    let clean = || {
        let once = || match Layout::clean(&root, &live) {
            Err(LayoutError::Busy { .. }) => None,
            cleaned => Some(cleaned.unwrap()),
        };
        wait("nobody uses the layout", once, || root.display())
    };
    assert!(clean() > 0);
    assert_eq!(clean(), 0);
    let layout = Layout::open(&root).unwrap();
    assert_eq!(layout.find(&keys[0]), None);
    let built = layout.find(&keys[1]).unwrap();
    let names: Vec<String> = layout.references().unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["node:v1.1.0"]);
    layout.unpack(&built.manifest, &dir.path().join("unpacked")).unwrap();
}
