//! The volume by itself.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;

use nginx_process::{Error, OfferEffect, Volume};

use crate::bench::Files;

fn files(main: &str) -> Files {
    Files::from([
        ("nginx.conf".to_owned(), main.as_bytes().to_vec()),
        ("certs/deep/one.key".to_owned(), b"key".to_vec()),
    ])
}

/// Names in a directory, without the lock.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names.sort();
    names
}

#[test]
fn offer_has_all_files_with_the_chosen_modes() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path().join("new")).unwrap().with_modes(0o640, 0o750);
    assert_eq!(volume.offered().unwrap(), None);
    assert_eq!(volume.offer("one", &files("a"), None).unwrap(), OfferEffect::New);
    assert_eq!(volume.offer("one", &files("a"), None).unwrap(), OfferEffect::Unchanged);
    assert_eq!(volume.offered().unwrap().as_deref(), Some("one"));
    let revision = volume.dir().join("generations/one");
    assert_eq!(fs::read(revision.join("certs/deep/one.key")).unwrap(), b"key");
    let mode = |path: &str| fs::metadata(revision.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode("certs/deep/one.key"), mode("nginx.conf"), mode("certs/deep"), mode("certs"), mode("")],
        [0o640, 0o640, 0o750, 0o750, 0o750]
    );
    assert_eq!(names(volume.dir()), ["generations", "offered"]);
    // The same name with other content is written anew.
    fs::write(revision.join("nginx.conf"), "").unwrap();
    assert_eq!(volume.offer("one", &files("a"), None).unwrap(), OfferEffect::New);
    assert_eq!(fs::read(revision.join("nginx.conf")).unwrap(), b"a");
}

#[test]
fn unchanged_files_are_hard_links_to_the_former_revision() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path()).unwrap().with_kept(0);
    volume.offer("one", &files("a"), None).unwrap();
    let inode = |path: &str| fs::metadata(dir.path().join("generations").join(path)).unwrap().ino();
    let (main, key) = (inode("one/nginx.conf"), inode("one/certs/deep/one.key"));
    volume.offer("two", &files("b"), None).unwrap();
    assert_eq!(names(&dir.path().join("generations")), ["two"]);
    assert_eq!(inode("two/certs/deep/one.key"), key);
    assert_ne!(inode("two/nginx.conf"), main);
    // Another mode is a change.
    volume.with_modes(0o600, 0o700).offer("three", &files("b"), None).unwrap();
    assert_ne!(inode("three/certs/deep/one.key"), key);
}

#[test]
fn paths_outside_the_volume_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path()).unwrap();
    for hash in ["", ".", "..", "../x", "a/b", ".tmp-offer-x", "a\n", "é", &"a".repeat(129)] {
        assert!(matches!(volume.offer(hash, &files(""), None), Err(Error::Hash(_))), "{hash:?}");
    }
    for path in ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", "./a", "a\0b", "."] {
        let mut files = files("");
        files.insert(path.to_owned(), Vec::new());
        assert!(matches!(volume.offer("one", &files, None), Err(Error::Path(_))), "{path:?}");
    }
    assert!(matches!(volume.offer("one", &Files::new(), None), Err(Error::NoMain(_))));
    assert_eq!(volume.offered().unwrap(), None);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn link_in_place_of_the_revisions_leads_no_generator_outside() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("precious")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path()).unwrap().with_kept(0);
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("generations")).unwrap();
    volume.offer("one", &files("a"), None).unwrap();
    assert_eq!(names(elsewhere.path()), ["precious"]);
    assert_eq!(names(&dir.path().join("generations")), ["one"]);
}

#[test]
fn lock_that_somebody_holds_for_ever_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path()).unwrap();
    volume.offer("one", &files("a"), None).unwrap();
    let lock = fs::File::open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = volume.offer("two", &files("b"), None).unwrap_err();
    assert!(error.to_string().contains("another process holds it"), "{error}");
    drop(lock);
    volume.offer("two", &files("b"), None).unwrap();
}

#[test]
fn racing_offers_leave_one_whole_revision_offered() {
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for generator in 0..4 {
            let volume = Volume::open(dir.path()).unwrap();
            scope.spawn(move || {
                for number in 0..50 {
                    // Two of them offer the same.
                    let hash = format!("g{}-{number}", generator % 3);
                    volume.offer(&hash, &files(&hash), None).unwrap();
                }
            });
        }
        let volume = Volume::open(dir.path()).unwrap();
        scope.spawn(move || {
            for _ in 0..500 {
                let Some(hash) = volume.offered().unwrap() else { continue };
                // It may be replaced and removed by now, but it was never half there.
                if let Ok(main) = fs::read_to_string(volume.dir().join("generations").join(&hash).join("nginx.conf")) {
                    assert_eq!(main, hash);
                }
            }
        });
    });
    let volume = Volume::open(dir.path()).unwrap();
    let offered = volume.offered().unwrap().unwrap();
    assert!(offered.ends_with("-49"), "{offered}");
    let kept = names(&dir.path().join("generations"));
    assert!(kept.contains(&offered) && kept.len() <= 4, "{kept:?}");
    assert_eq!(names(dir.path()), ["generations", "offered"]);
}

#[test]
fn full_volume_keeps_the_last_offer_and_recovers() {
    crate::bench::on_a_small_file_system("volume::on_a_full_volume");
}

#[test]
#[ignore = "run by the test above, where SMALL is small"]
fn on_a_full_volume() {
    let dir = std::env::var_os("SMALL").unwrap();
    let dir = Path::new(&dir);
    let volume = Volume::open(dir).unwrap();
    let large = |size: usize| Files::from([("nginx.conf".to_owned(), vec![b'#'; size])]);
    volume.offer("one", &large(100_000), None).unwrap();
    let before = (names(dir), names(&dir.join("generations")));
    let error = volume.offer("two", &large(600_000), None).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().contains("sizeLimit"), "{error}");
    assert_eq!((names(dir), names(&dir.join("generations"))), before);
    assert_eq!(volume.offered().unwrap().as_deref(), Some("one"));
    assert_eq!(volume.offer("one", &large(100_000), None).unwrap(), OfferEffect::Unchanged);
    // There is room if what is only kept for looking at is given up.
    for (number, size) in [100_000, 100_000, 100_000, 200_000, 200_000].into_iter().enumerate() {
        volume.offer(&format!("g{number}"), &large(size), None).unwrap();
    }
    // Full of something else, and then not.
    let volume = volume.with_kept(0);
    volume.offer("g5", &large(100_000), None).unwrap();
    fs::write(dir.join("ballast"), vec![0; 600_000]).unwrap_err();
    assert!(matches!(volume.offer("three", &large(50_000), None), Err(Error::Full { .. })));
    assert_eq!(volume.offered().unwrap().as_deref(), Some("g5"));
    assert_eq!(names(&dir.join("generations")), ["g5"]);
    fs::remove_file(dir.join("ballast")).unwrap();
    volume.offer("three", &large(50_000), None).unwrap();
    assert_eq!(volume.offered().unwrap().as_deref(), Some("three"));
}
