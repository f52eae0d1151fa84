//! Headers of real images, decoded from their omaps, against what librbd says of the same images: every combination of
//! features that it accepts, and what the life of an image leaves in its header.

mod support;
use support::size;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ceph::{Access, Errno, Error, Image, ImageRef, ImageSpec, IoContext, OmapRange, ignore_progress};
use rbd_format::directory::{DIRECTORY_OBJECT, NAME_PREFIX};
use rbd_format::header::{Features, header_object};
use rbd_format::{
    DirectoryEntry, ImageHeader, Protection, SnapshotNamespace, children, decode_header, group::GROUP_DIRECTORY_OBJECT,
};

const LAYERING: u64 = 1 << 0;
const STRIPING: u64 = 1 << 1;
const EXCLUSIVE_LOCK: u64 = 1 << 2;
const OBJECT_MAP: u64 = 1 << 3;
const FAST_DIFF: u64 = 1 << 4;
const DEEP_FLATTEN: u64 = 1 << 5;
const JOURNALING: u64 = 1 << 6;
const DATA_POOL: u64 = 1 << 7;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn entries(io: &IoContext, object: &str, prefix: &str) -> Vec<ceph::Entry> {
    io.omap_all(object, prefix, Some(soon())).expect("an omap")
}

fn header(io: &IoContext, id: &str) -> ImageHeader {
    let range = OmapRange { object: header_object(id), ..OmapRange::default() };
    let mut answer = None;
    io.omaps(&[range], 1, Some(soon()), |_, entries| answer = Some(entries)).expect("an answer in time");
    let entries = answer.expect("an answer").expect("a header");
    decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).expect("a header that decodes")
}

/// The id that the directory gives to a name.
fn listed_id(io: &IoContext, name: &str) -> String {
    let key = format!("{NAME_PREFIX}{name}");
    let found = entries(io, DIRECTORY_OBJECT, &key).into_iter().find(|(found, _)| *found == key.as_bytes());
    let (key, value) = found.expect("a name in the directory");
    match DirectoryEntry::decode(&key, &value).expect("an entry that decodes") {
        Some(DirectoryEntry::Name { id, .. }) => id,
        other => panic!("not the entry of a name: {other:?}"),
    }
}

fn opened(io: &IoContext, name: &str) -> Image {
    io.open_image(ImageRef::Name(name), None, Access::ReadWrite).expect("an image")
}

fn overlap(image: &Image) -> u64 {
    match image.overlap_bytes() {
        Err(error) if error.is(Errno::ENOENT) => 0,
        other => other.expect("an overlap"),
    }
}

/// Compares all that both sides know.
fn compared(io: &IoContext, name: &str) -> ImageHeader {
    let mut image = io.open_image(ImageRef::Name(name), None, Access::ReadOnly).expect("an image");
    let id = image.id().expect("an id");
    assert_eq!(listed_id(io, name), id, "{name}");
    let header = header(io, &id);
    let stat = image.stat().expect("a stat");
    assert_eq!(header.size_bytes, stat.size_bytes, "{name}");
    assert_eq!(header.order, stat.order, "{name}");
    assert_eq!(header.object_size_bytes(), stat.object_size_bytes, "{name}");
    assert_eq!(header.features.0, image.features().expect("features"), "{name}");
    assert_eq!(header.features.unknown(), 0, "{name}");
    assert_eq!(header.flags.0, image.flags().expect("flags"), "{name}");
    assert_eq!(header.op_features.0, image.op_features().expect("operation features"), "{name}");
    let (unit, count) = header.striping.map_or((stat.object_size_bytes, 1), |s| (s.unit_bytes, s.count));
    assert_eq!(unit, image.stripe_unit_bytes().expect("a stripe unit"), "{name}");
    assert_eq!(count, image.stripe_count().expect("a stripe count"), "{name}");
    assert_eq!(header.data_pool_id.unwrap_or(io.pool_id()), image.data_pool_id(), "{name}");
    let created = header.created.map(|time| (i64::from(time.seconds), i64::from(time.nanoseconds)));
    assert_eq!(created, Some(image.created().expect("a time")), "{name}");
    let parent_overlap = header.parent.as_ref().and_then(|parent| parent.overlap_bytes);
    assert_eq!(parent_overlap.unwrap_or(0), overlap(&image), "{name}");
    for (key, value) in &header.metadata {
        let key = key.as_str().expect("a key in UTF-8");
        assert_eq!(value, image.metadata(key).expect("metadata").as_bytes(), "{name} {key}");
    }

    let listed = image.snapshots().expect("snapshots");
    assert_eq!(header.snapshots.len(), listed.len(), "{name}");
    for snapshot in &header.snapshots {
        let listed = listed.iter().find(|listed| listed.id == snapshot.id).expect("the same snapshots");
        assert_eq!(snapshot.name, listed.name.as_str(), "{name}");
        assert_eq!(snapshot.size_bytes, listed.size_bytes, "{name}");
        if snapshot.namespace == SnapshotNamespace::User {
            let protected = image.is_protected(&listed.name).expect("a protection");
            assert_eq!(snapshot.protection == Protection::Protected, protected, "{name}@{}", listed.name);
        }
        image.set_snapshot(Some(snapshot.id)).expect("the snapshot");
        assert_eq!(image.stat().expect("a stat").size_bytes, snapshot.size_bytes, "{name}@{}", listed.name);
        assert_eq!(image.flags().expect("flags"), snapshot.flags, "{name}@{}", listed.name);
        assert_eq!(overlap(&image), snapshot.parent_overlap_bytes.unwrap_or(0), "{name}@{}", listed.name);
        let linked = header.children.get(&snapshot.id).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(linked.len(), snapshot.child_count as usize, "{name}@{}", listed.name);
        let known: BTreeSet<String> = image.children().expect("children").into_iter().map(|child| child.id).collect();
        for child in linked {
            assert!(known.contains(&child.image_id), "{name}@{}: {child:?} is not among {known:?}", listed.name);
        }
    }
    image.set_snapshot(None).expect("the head");
    assert_eq!(image.stat().expect("a stat").size_bytes, header.size_bytes, "{name}");
    header
}

/// What librbd 16 asks of a new image's features.
fn consistent(features: u64) -> bool {
    let needs = |feature: u64, other: u64| features & feature == 0 || features & other != 0;
    needs(OBJECT_MAP, EXCLUSIVE_LOCK) && needs(JOURNALING, EXCLUSIVE_LOCK)
}

/// Makes, changes and compares one image; the answer is whether librbd accepts these features.
fn combination(io: &IoContext, data: &IoContext, features: u64) -> bool {
    let name = format!("f{features}");
    let order = 12 + u8::try_from(features % 14).expect("small");
    let spec = ImageSpec {
        features: Some(features & !DATA_POOL),
        order: Some(order),
        striping: (features & STRIPING != 0).then_some((1 << (order - 1), 1 + features % 5)),
        data_pool: (features & DATA_POOL != 0).then(|| data.pool().to_owned()),
        ..ImageSpec::default()
    };
    match io.create_image(&name, size((features + 1) * 123_457), &spec) {
        Err(error) if error.is(Errno::EINVAL) => return false,
        result => result.unwrap_or_else(|error| panic!("{name}: {error}")),
    }
    let made = compared(io, &name);
    // Fast-diff comes with the object map and does not come without it, whether it was asked for or not.
    let with_map = if features & OBJECT_MAP != 0 { FAST_DIFF } else { 0 };
    let given = features & !FAST_DIFF | with_map;
    assert_eq!(made.features, Features(given), "asked for {features}");
    assert_eq!(made.data_pool_id, (features & DATA_POOL != 0).then_some(data.pool_id()));
    if given != features {
        // The same as another combination.
        return true;
    }

    let image = opened(io, &name);
    image.create_snapshot("s").expect("a snapshot");
    if features & LAYERING != 0 {
        image.protect_snapshot("s").expect("protected");
    }
    image.resize(size(made.size_bytes * 2), false, &ignore_progress).expect("larger");
    drop(image);
    let changed = compared(io, &name);
    assert_eq!(changed.size_bytes, made.size_bytes * 2);
    assert_eq!(changed.snapshots.len(), 1);
    assert_eq!(changed.snapshots[0].size_bytes, made.size_bytes);
    assert_eq!(changed.snap_seq, changed.snapshots[0].id);
    assert_eq!(changed.snapshots[0].protection == Protection::Protected, features & LAYERING != 0);
    true
}

#[test]
fn header_equals_librbd_for_every_combination_of_features() {
    let io = support::shared_pool();
    let data = support::pool(testbed::ceph::Ceph::shared().expect("a cluster"), io.cluster());
    let all: Vec<u64> = (0..256).collect();
    let accepted: Vec<u64> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let (io, data, all) = (&io, &data, &all);
                scope.spawn(move || -> Vec<u64> {
                    let mine = all.iter().copied().skip(lane).step_by(4);
                    mine.filter(|features| combination(io, data, *features)).collect()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("a lane")).collect()
    });
    let accepted: BTreeSet<u64> = accepted.into_iter().collect();
    let expected: BTreeSet<u64> = all.into_iter().filter(|features| consistent(*features)).collect();
    assert_eq!(accepted, expected);
    assert_eq!(accepted.len(), 160);
}

fn clone_of(target: &IoContext, base: &IoContext, snapshot: &str, name: &str, format: u64, features: u64) {
    let spec = ImageSpec { clone_format: Some(format), features: Some(features), ..ImageSpec::default() };
    target.clone_image(base, "base", snapshot, name, &spec).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn header_equals_librbd_for_snapshots_and_clones() {
    let io = support::shared_pool();
    let other = support::pool(testbed::ceph::Ceph::shared().expect("a cluster"), io.cluster());
    other.create_namespace("ns").expect("a namespace");
    let space = other.in_namespace("ns").expect("a context");
    let spec = ImageSpec {
        features: Some(LAYERING | EXCLUSIVE_LOCK | OBJECT_MAP | FAST_DIFF | DEEP_FLATTEN),
        ..ImageSpec::default()
    };
    io.create_image("base", size(40 << 20), &spec).expect("an image");
    let base = opened(&io, "base");
    support::wait(base.write(0, vec![7_u8; 9 << 20]).expect("a write")).expect("written");
    base.create_snapshot("s1").expect("a snapshot");
    base.protect_snapshot("s1").expect("protected");
    base.resize(size(24 << 20), true, &ignore_progress).expect("smaller");
    base.create_snapshot("s2").expect("a snapshot");
    drop(base);

    clone_of(&io, &io, "s1", "v1", 1, LAYERING);
    clone_of(&other, &io, "s1", "v1-other", 1, LAYERING | DEEP_FLATTEN);
    clone_of(&space, &io, "s1", "v2-space", 2, LAYERING | EXCLUSIVE_LOCK);
    clone_of(&io, &io, "s2", "v2", 2, LAYERING | DEEP_FLATTEN);

    let base = compared(&io, "base");
    let base_id = listed_id(&io, "base");
    let snapshot_id = |name: &str| base.snapshots.iter().find(|s| s.name == *name).expect("a snapshot").id;
    for (target, name, snapshot, size) in [
        (&io, "v1", "s1", 40_u64 << 20),
        (&other, "v1-other", "s1", 40 << 20),
        (&space, "v2-space", "s1", 40 << 20),
        (&io, "v2", "s2", 24 << 20),
    ] {
        let parent = compared(target, name).parent.expect("a parent");
        assert_eq!((parent.pool_id, parent.image_id), (io.pool_id(), base_id.clone()), "{name}");
        assert!(parent.namespace.is_empty(), "{name}");
        assert_eq!(parent.snap_id, snapshot_id(snapshot), "{name}");
        assert_eq!(parent.overlap_bytes, Some(size), "{name}");
    }
    let linked = &base.children[&snapshot_id("s1")];
    assert_eq!(linked.len(), 1, "clones of format 1 are not in the header");
    assert_eq!((linked[0].pool_id, linked[0].image_id.clone()), (other.pool_id(), listed_id(&space, "v2-space")));
    assert_eq!(linked[0].namespace, "ns");

    // Clones of format 1 are in the object beside.
    for (target, name) in [(&io, "v1"), (&other, "v1-other")] {
        let found = entries(target, children::CHILDREN_OBJECT, "");
        assert_eq!(found.len(), 1, "{name}");
        let (parent, ids) = children::decode_children_entry(&found[0].0, &found[0].1).expect("decodes");
        assert_eq!(parent.image_id, base_id, "{name}");
        assert_eq!(parent.snap_id, snapshot_id("s1"), "{name}");
        assert_eq!(i64::try_from(parent.pool_id), Ok(io.pool_id()), "{name}");
        assert_eq!(ids, [listed_id(target, name)], "{name}");
    }

    // The overlap shrinks with the clone, for good; a snapshot keeps its own.
    let clone = opened(&space, "v2-space");
    clone.create_snapshot("before").expect("a snapshot");
    clone.resize(size(6 << 20), true, &ignore_progress).expect("smaller");
    clone.resize(size(30 << 20), false, &ignore_progress).expect("larger");
    drop(clone);
    let shrunk = compared(&space, "v2-space");
    assert_eq!(shrunk.parent.expect("a parent").overlap_bytes, Some(6 << 20));
    assert_eq!(shrunk.snapshots[0].parent_overlap_bytes, Some(40 << 20));

    // Flattened without deep-flatten, its snapshot still needs the parent.
    opened(&space, "v2-space").flatten(&ignore_progress).expect("flat");
    let flat = compared(&space, "v2-space");
    assert_eq!(flat.parent.expect("its snapshot's parent").overlap_bytes, None);
    assert_eq!(flat.snapshots[0].parent_overlap_bytes, Some(40 << 20));
    opened(&io, "v2").flatten(&ignore_progress).expect("flat");
    assert_eq!(compared(&io, "v2").parent, None);

    // A snapshot that is removed under a clone of format 2 goes to the trash of snapshots.
    clone_of(&io, &io, "s2", "late", 2, LAYERING);
    opened(&io, "base").remove_snapshot("s2").expect("removed");
    let base = compared(&io, "base");
    let trashed = base.snapshots.iter().find(|s| s.id == snapshot_id_of(&compared(&io, "late"))).expect("still there");
    match &trashed.namespace {
        SnapshotNamespace::Trash { original_name, original_kind: 0 } => assert_eq!(*original_name, "s2"),
        other => panic!("{other:?}"),
    }
}

fn snapshot_id_of(clone: &ImageHeader) -> u64 {
    clone.parent.as_ref().expect("a parent").snap_id
}

#[test]
fn header_equals_librbd_for_metadata_flags_and_groups() {
    let io = support::shared_pool();
    let spec = ImageSpec { features: Some(LAYERING | EXCLUSIVE_LOCK), order: Some(16), ..ImageSpec::default() };
    io.create_image("i", size(1 << 20), &spec).expect("an image");
    let image = opened(&io, "i");
    let long = "v".repeat(5000);
    for (key, value) in [("conf_rbd_qos_iops_limit", "100"), ("schlüssel", "größe"), ("long", &long)] {
        image.set_metadata(key, value).expect("set");
    }
    support::wait(image.write(0, vec![1_u8; 4096]).expect("a write")).expect("written");
    image.update_features(OBJECT_MAP | FAST_DIFF, true).expect("on");
    drop(image);
    let found = compared(&io, "i");
    assert_eq!(found.metadata.len(), 3);
    assert_eq!(found.flags.names().collect::<Vec<_>>(), ["object map invalid", "fast diff invalid"]);
    opened(&io, "i").rebuild_object_map(&ignore_progress).expect("rebuilt");
    assert_eq!(compared(&io, "i").flags.0, 0);
    opened(&io, "i").remove_metadata("long").expect("removed");
    assert_eq!(compared(&io, "i").metadata.len(), 2);
    assert!(matches!(opened(&io, "i").metadata("long"), Err(Error::Call { errno: Errno::ENOENT, .. })));

    assert_eq!(found.group, None);
    io.create_group("g").expect("a group");
    io.add_to_group("g", &io, "i").expect("added");
    io.create_group_snapshot("g", "gs").expect("a snapshot");
    let found = compared(&io, "i");
    let membership = found.group.expect("a group");
    assert_eq!(membership.pool_id, io.pool_id());
    let directory = entries(&io, GROUP_DIRECTORY_OBJECT, "name_g");
    match DirectoryEntry::decode(&directory[0].0, &directory[0].1) {
        Ok(Some(DirectoryEntry::Name { id, .. })) => assert_eq!(membership.group_id, id),
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(&found.snapshots[0].namespace, SnapshotNamespace::Group { group_id, .. } if *group_id == membership.group_id)
    );
    io.remove_from_group("g", &io, "i").expect("taken out");
    assert_eq!(compared(&io, "i").group, None);
}

#[test]
fn lock_with_an_empty_cookie_is_listed() {
    let io = support::shared_pool();
    io.create_image("i", size(1 << 20), &ImageSpec { features: Some(LAYERING), ..ImageSpec::default() })
        .expect("an image");
    let image = opened(&io, "i");
    image.lock_exclusive("").expect("locked");
    let locks = image.locks().expect("locks");
    assert_eq!(locks.lockers.len(), 1);
    assert_eq!(locks.lockers[0].cookie, "");
    assert_eq!(locks.lockers[0].client, format!("client.{}", io.cluster().instance_id()));
    // By another client: the holder is blocklisted.
    let other = support::connected(testbed::ceph::Ceph::shared().expect("a cluster"));
    let other = opened(&other.io_context(io.pool(), "").expect("a context"), "i");
    other.break_lock(&locks.lockers[0].client, "").expect("broken");
    assert_eq!(other.locks().expect("locks").lockers, []);
    let blocked = io.omap_page(&OmapRange { object: DIRECTORY_OBJECT.into(), ..OmapRange::default() }, Some(soon()));
    assert!(blocked.as_ref().is_err_and(|error| error.is(Errno::ESHUTDOWN)), "{blocked:?}");
}
