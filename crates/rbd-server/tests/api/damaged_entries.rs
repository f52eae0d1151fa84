//! Directories of Ceph with entries that no client of Ceph writes: whoever may write in a pool can.

use ceph::OmapChange;
use rbd_format::directory::DIRECTORY_OBJECT;
use rbd_format::trash::TRASH_OBJECT;
use serde_json::{Value, json};

use crate::support::{api, ceph, context, finished, pool};

/// Writes an entry of an object, whatever bytes it has.
fn put(pool: &str, object: &str, key: &[u8], value: &[u8]) {
    let set = vec![(key.to_vec(), value.to_vec())];
    context(pool).omap_change(object, &OmapChange { set, ..OmapChange::default() }).unwrap();
}

/// A string as Ceph writes it.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

fn create(pool: &str, name: &str) -> String {
    let body = json!({ "name": name, "sizeBytes": 8 << 20 });
    let image = api().post(&format!("/api/v1/pools/{pool}/images"), &body).unwrap().expect(201).json();
    image["id"].as_str().unwrap().to_owned()
}

fn remove(path: &str) -> Value {
    let accepted = api().delete(path).unwrap().expect(202);
    finished(&api(), accepted.header("location"))
}

#[test]
fn name_without_an_image_is_listed_as_damaged_and_can_be_freed() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let id = create(&pool, "whole");
    for (name, value) in [
        ("empty", string(b"")),
        ("nul", string(b"a\0b")),
        ("slash", string(b"../x")),
        ("short", b"\xff\xff".to_vec()),
        ("nothing", Vec::new()),
        ("other", string(id.as_bytes())),
    ] {
        put(&pool, DIRECTORY_OBJECT, format!("name_{name}").as_bytes(), &value);
        let list = api().get(&format!("{images}?view=full")).unwrap().expect(200).json();
        let states: Vec<(&str, &str)> = list["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["name"].as_str().unwrap(), item["state"].as_str().unwrap()))
            .collect();
        let mut expected = [(name, "damaged"), ("whole", "ready")];
        expected.sort_unstable();
        assert_eq!(states, expected);
        let path = format!("{images}/{name}");
        let image = api().get(&path).unwrap().expect(200).json();
        assert_eq!((&image["state"], &image["id"]), (&json!("damaged"), &json!("")), "{image}");
        assert!(image["stateReason"].as_str().unwrap().contains("rbd_directory"), "{image}");
        for answer in [
            api().get(&format!("{path}/locks")).unwrap(),
            api().delete(&path).unwrap(),
            api().post(&format!("{path}/flatten"), &json!({})).unwrap(),
            api().post(&format!("{path}/rename"), &json!({ "name": "elsewhere" })).unwrap(),
            api().post(&images, &json!({ "name": name, "sizeBytes": 1 })).unwrap(),
            api().put(&path, &json!({ "sizeBytes": 1 })).unwrap(),
        ] {
            assert_eq!(answer.problem(), "damaged", "{}", answer.text());
            assert!(answer.json()["correction"].as_str().unwrap().contains("permanent=true"), "{}", answer.text());
        }
        let removed = remove(&format!("{path}?permanent=true"));
        assert_eq!(removed["state"], "succeeded", "{removed}");
        assert_eq!(api().get(&path).unwrap().expect(404).problem(), "image-not-found");
        // The name is free, and no other image was touched.
        create(&pool, name);
        assert_eq!(remove(&format!("{path}?permanent=true"))["state"], "succeeded");
        assert_eq!(api().get(&format!("{images}/whole")).unwrap().expect(200).json()["id"], id);
    }
    ceph().rbd(&["info", &format!("{pool}/whole")]).unwrap();
}

#[test]
fn image_of_which_only_the_name_is_damaged_goes_with_it() {
    let pool = pool();
    let id = create(&pool, "a");
    put(&pool, DIRECTORY_OBJECT, b"name_a", b"\xff");
    let path = format!("/api/v1/pools/{pool}/images/a");
    assert_eq!(api().get(&path).unwrap().expect(200).json()["state"], "damaged");
    let removed = remove(&format!("{path}?permanent=true"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    let left = ceph().rados(&["-p", &pool, "ls"]).unwrap();
    assert!(!left.contains(&id), "{left}");
}

#[test]
fn header_with_an_impossible_name_does_not_break_the_list() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    create(&pool, "whole");
    let (prefix, parent) = (create(&pool, "prefix"), create(&pool, "parent"));
    put(&pool, &format!("rbd_header.{prefix}"), b"object_prefix", &string(b"rbd_data.\0"));
    // A parent in this pool: version 2 for readers of 1, its length, pool, namespace, id, snapshot, no overlap.
    let own = context(&pool).pool_id();
    let content = [&own.to_le_bytes()[..], &string(b""), &string(b"a\0b"), &7_u64.to_le_bytes(), b"\0"].concat();
    put(&pool, &format!("rbd_header.{parent}"), b"parent", &[&[2, 1][..], &string(&content)].concat());
    let list = api().get(&format!("{images}?view=full")).unwrap().expect(200).json();
    let states: Vec<&str> =
        list["Items"].as_array().unwrap().iter().map(|item| item["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["damaged", "damaged", "ready"], "{list}");
    let read = api().get(&format!("{images}/parent")).unwrap().expect(200).json();
    assert!(read["stateReason"].as_str().unwrap().contains("parent image id"), "{read}");
}

#[test]
fn entries_of_the_trash_that_cannot_be_read_are_listed_and_removed() {
    let pool = pool();
    let trash = format!("/api/v1/pools/{pool}/trash");
    let id = create(&pool, "a");
    api().delete(&format!("/api/v1/pools/{pool}/images/a")).unwrap().expect(200);
    put(&pool, TRASH_OBJECT, format!("id_{id}").as_bytes(), b"\xff");
    put(&pool, TRASH_OBJECT, b"id_", b"\xff");
    put(&pool, TRASH_OBJECT, b"id_a\0b", b"\xff");
    let list = api().get(&trash).unwrap().expect(200).json();
    assert_eq!(list["Items"].as_array().unwrap().len(), 3, "{list}");
    let item = api().get(&format!("{trash}/{id}")).unwrap().expect(200).json();
    assert_eq!((&item["state"], &item["removable"]), (&json!("damaged"), &json!(true)), "{item}");
    assert!(item["stateReason"].as_str().unwrap().contains("rbd_trash"), "{item}");
    let rejected = api().post(&format!("{trash}/{id}/restore"), &json!({ "name": "b" })).unwrap();
    assert_eq!(rejected.problem(), "damaged", "{}", rejected.text());
    // With all that there is of the image.
    let removed = remove(&format!("{trash}/{id}"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    let left = ceph().rados(&["-p", &pool, "ls"]).unwrap();
    assert!(!left.contains(&id), "{left}");
    // What no path can name goes with a purge.
    let purge = api().post(&format!("{trash}/purge"), &json!({})).unwrap().expect(202);
    assert_eq!(finished(&api(), purge.header("location"))["state"], "succeeded");
    let list = api().get(&trash).unwrap().expect(200).json();
    assert_eq!(list["Items"], json!([]), "{list}");
}

#[test]
fn image_in_the_trash_without_a_header_is_not_restored() {
    let pool = pool();
    let id = create(&pool, "a");
    api().delete(&format!("/api/v1/pools/{pool}/images/a")).unwrap().expect(200);
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_header.{id}")]).unwrap();
    let rejected = api().post(&format!("/api/v1/pools/{pool}/trash/{id}/restore"), &json!({})).unwrap().expect(409);
    assert_eq!(rejected.problem(), "removing");
    assert_eq!(api().get(&format!("/api/v1/pools/{pool}/images")).unwrap().json()["Items"], json!([]));
    let removed = remove(&format!("/api/v1/pools/{pool}/trash/{id}?force=true"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
}

#[test]
fn damaged_group_does_not_break_the_list() {
    let pool = pool();
    let groups = format!("/api/v1/pools/{pool}/groups");
    let whole = api().post(&groups, &json!({ "name": "whole" })).unwrap().expect(201).json();
    for value in [&b"\xff"[..], &string(b""), &string(b"a\0b")] {
        put(&pool, "rbd_group_directory", b"name_bad", value);
        let list = api().get(&groups).unwrap().expect(200).json();
        assert_eq!(list["Items"][1], json!({ "name": "whole" }), "{list}");
        assert_eq!(list["Items"][0]["name"], "bad", "{list}");
        assert!(list["Items"][0]["stateReason"].as_str().unwrap().contains("rbd_group_directory"), "{list}");
        assert_eq!(api().get(&format!("{groups}/bad")).unwrap().expect(500).problem(), "damaged");
        api().delete(&format!("{groups}/bad")).unwrap().expect(204);
        assert_eq!(api().get(&groups).unwrap().json()["Items"], json!([{ "name": "whole" }]));
    }
    // An entry of the group itself.
    let header = format!("rbd_group_header.{}", whole["id"].as_str().unwrap());
    put(&pool, &header, b"image_0000000000000001_x", b"");
    let group = api().get(&format!("{groups}/whole")).unwrap().expect(200).json();
    assert!(group["damaged"][0].as_str().unwrap().contains("image_0000000000000001_x"), "{group}");
    for answer in [
        api().post(&format!("{groups}/whole/snapshots"), &json!({ "name": "s" })).unwrap(),
        api().delete(&format!("{groups}/whole?deleteSnapshots=true")).unwrap(),
    ] {
        assert_eq!(answer.problem(), "damaged", "{}", answer.text());
        assert!(answer.text().contains("image_0000000000000001_x"), "{}", answer.text());
    }
    ceph().rados(&["-p", &pool, "rmomapkey", &header, "image_0000000000000001_x"]).unwrap();
    api().delete(&format!("{groups}/whole")).unwrap().expect(204);
}

#[test]
fn image_whose_mirroring_cannot_be_read_says_so_and_is_not_deleted() {
    let pool = pool();
    let id = create(&pool, "a");
    put(&pool, "rbd_mirroring", format!("image_{id}").as_bytes(), b"\xff\xff");
    let path = format!("/api/v1/pools/{pool}/images/a");
    let image = api().get(&path).unwrap().expect(200).json();
    assert!(image["mirroring"].is_null(), "{image}");
    assert!(image["unknown"]["mirroring"].as_str().unwrap().contains("rbd_mirroring"), "{image}");
    for query in ["", "?permanent=true", "?force=true"] {
        let rejected = api().delete(&format!("{path}{query}")).unwrap().expect(500);
        assert_eq!(rejected.problem(), "damaged", "{}", rejected.text());
        assert!(rejected.json()["correction"].as_str().unwrap().contains("rmomapkey"), "{}", rejected.text());
    }
    ceph().rados(&["-p", &pool, "rmomapkey", "rbd_mirroring", &format!("image_{id}")]).unwrap();
    api().delete(&path).unwrap().expect(200);
}

#[test]
fn damage_in_one_pool_does_not_keep_another_from_deletion() {
    let (pool, other) = (pool(), pool());
    put(&pool, DIRECTORY_OBJECT, b"name_nul", &string(b"a\0b"));
    put(&pool, TRASH_OBJECT, b"id_a\0b", b"\xff");
    put(&pool, "rbd_group_directory", b"name_nul", &string(b"a\0b"));
    put(&pool, "rbd_namespace", b"name_a\0b", b"");
    put(&pool, "rbd_namespace", b"name_\xff", b"");
    let id = create(&pool, "damaged");
    put(&pool, &format!("rbd_header.{id}"), b"size", b"x");
    api().delete(&format!("/api/v1/pools/{other}?confirm={other}")).unwrap().expect(204);
}
