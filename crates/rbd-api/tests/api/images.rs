//! Images.

use serde_json::json;

use crate::support::{api, ceph, pool};

#[test]
fn an_image_is_made_listed_and_put_into_the_trash() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let made = api().post(&images, &json!({ "name": "a", "sizeBytes": 1 << 30 })).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("{images}/a"));
    assert_eq!(made.json()["sizeBytes"], 1 << 30);
    assert_eq!(made.json()["state"], "ready");
    ceph().rbd(&["snap", "create", &format!("{pool}/a@s")]).unwrap();
    let full = api().get(&format!("{images}?view=full")).unwrap().expect(200).json();
    assert_eq!(full["Items"][0]["snapshots"][0]["name"], "s", "{full}");
    let names = api().get(&images).unwrap().expect(200).text();
    assert_eq!(names, r#"{"Kind":"ImageList","APIVersion":"v1","Items":[{"name":"a"}]}"#);
    api().delete(&format!("{images}/a")).unwrap().expect(200);
    assert_eq!(api().get(&format!("{images}/a")).unwrap().expect(404).problem(), "image-not-found");
    assert!(ceph().rbd(&["trash", "ls", &pool]).unwrap().contains(" a"));
}
