//! Images.

use serde_json::{Value, json};

use crate::support::{api, ceph, context, pool, rejected_field, size};

#[test]
fn image_is_made_listed_and_put_into_the_trash() {
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

/// What `rbd info` says and what the API says of the same image, field by field.
fn compare(place: &str, name: &str) -> Value {
    let info = ceph().rbd(&["info", &format!("{place}/{name}"), "--format", "json"]).unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    let path = match place.split_once('/') {
        Some((pool, namespace)) => format!("/api/v1/pools/{pool}/namespaces/{namespace}/images"),
        None => format!("/api/v1/pools/{place}/images"),
    };
    let list = api().get(&format!("{path}?view=full&prefix={name}")).unwrap().expect(200).json();
    let image = list["Items"].as_array().unwrap().iter().find(|image| image["name"] == name).unwrap().clone();
    let single = api().get(&format!("{path}/{name}")).unwrap().expect(200).json();
    assert_eq!(single, image, "the list and the single image agree");
    for (ours, theirs) in
        [("name", "name"), ("id", "id"), ("sizeBytes", "size"), ("objectSizeBytes", "object_size"), ("flags", "flags")]
    {
        assert_eq!(image[ours], info[theirs], "{ours} of {place}/{name}: {info}");
    }
    // rbd leaves out what does not apply.
    for (ours, theirs) in [
        ("stripeUnitBytes", "stripe_unit"),
        ("stripeCount", "stripe_count"),
        ("dataPool", "data_pool"),
        ("snapshotLimit", "snapshot_limit"),
    ] {
        assert_eq!(image[ours], *info.get(theirs).unwrap_or(&Value::Null), "{ours} of {place}/{name}: {info}");
    }
    assert_eq!(image["features"], info["features"], "{place}/{name}");
    assert_eq!(image["snapshots"].as_array().unwrap().len() as u64, info["snapshot_count"].as_u64().unwrap());
    for (ours, theirs) in
        [("createdAt", "create_timestamp"), ("accessedAt", "access_timestamp"), ("modifiedAt", "modify_timestamp")]
    {
        let at: jiff::Timestamp = image[ours].as_str().unwrap().parse().unwrap();
        // rbd gives local time, with a padded day of the month.
        let local = at.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string();
        assert_eq!(local, info[theirs].as_str().unwrap(), "{ours} of {place}/{name}");
    }
    match info.get("parent") {
        None => assert_eq!(image["parent"], Value::Null),
        Some(parent) => {
            for (ours, theirs) in [
                ("pool", "pool"),
                ("namespace", "pool_namespace"),
                ("image", "image"),
                ("imageId", "id"),
                ("inTrash", "trash"),
                ("overlapBytes", "overlap"),
            ] {
                assert_eq!(image["parent"][ours], parent[theirs], "{ours} of the parent of {place}/{name}: {info}");
            }
            // rbd shows the generated name of a snapshot in the trash of snapshots, the API the one it had.
            if !parent["snapshot"].as_str().unwrap().contains('-') {
                assert_eq!(image["parent"]["snapshot"], parent["snapshot"]);
            }
        }
    }
    match info.get("group").and_then(Value::as_str) {
        None => assert_eq!(image["group"], Value::Null),
        Some(group) => {
            let part = |field: &str| image["group"][field].as_str().unwrap().to_owned();
            let parts = [part("pool"), part("namespace"), part("name")];
            let shown: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            assert_eq!(shown.join("/"), group);
        }
    }
    image
}

#[test]
fn details_are_those_of_rbd_info_for_every_combination_of_features() {
    const FEATURES: [&str; 6] = ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling"];
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let mut allowed = 0;
    for bits in 0_u32..64 {
        let names: Vec<&str> =
            FEATURES.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0).map(|(_, name)| *name).collect();
        let has = |name| names.contains(&name);
        let valid = (!has("object-map") || has("exclusive-lock"))
            && (!has("fast-diff") || has("object-map"))
            && (!has("journaling") || has("exclusive-lock"));
        let name = format!("f{bits}");
        let body = json!({ "name": name, "sizeBytes": 8 << 20, "features": names });
        let answer = api().post(&images, &body).unwrap();
        if !valid {
            assert_eq!(answer.expect(409).json()["field"], "features", "{names:?}");
            continue;
        }
        answer.expect(201);
        allowed += 1;
        let mut expected = names.clone();
        if has("object-map") && !has("fast-diff") {
            expected.push("fast-diff");
        }
        let image = compare(&pool, &name);
        for feature in FEATURES {
            let shown = image["features"].as_array().unwrap().contains(&json!(feature));
            assert_eq!(shown, expected.contains(&feature), "{feature} of {names:?}: {image}");
        }
        // Asked for once more, it is there; with the same features in the words of the request.
        let again = json!({ "sizeBytes": 8 << 20, "features": names });
        api().put(&format!("{images}/{name}"), &again).unwrap().expect(200);
    }
    assert_eq!(allowed, 2 * 2 * (1 + 2 * 3), "layering and deep-flatten are free, the rest depends on exclusive-lock");
}

#[test]
fn details_are_those_of_rbd_info_for_layouts_clones_groups_and_namespaces() {
    let (pool, data) = (pool(), pool());
    let places = [pool.clone(), format!("{pool}/one"), format!("{pool}/two")];
    for namespace in ["one", "two"] {
        ceph().rbd(&["namespace", "create", &format!("{pool}/{namespace}")]).unwrap();
    }
    ceph().rbd(&["namespace", "create", &format!("{data}/far")]).unwrap();
    for place in &places {
        let rbd = |arguments: &[&str]| ceph().rbd(arguments).unwrap();
        let at = |name: &str| format!("{place}/{name}");
        let images = match place.split_once('/') {
            Some((pool, namespace)) => format!("/api/v1/pools/{pool}/namespaces/{namespace}/images"),
            None => format!("/api/v1/pools/{place}/images"),
        };
        let striped = json!({
            "name": "striped", "sizeBytes": 100_000_000, "objectSizeBytes": 1 << 20, "stripeUnitBytes": 65536,
            "stripeCount": 5, "dataPool": data, "metadata": { "owner": "ü" },
        });
        api().post(&images, &striped).unwrap().expect(201);
        let image = compare(place, "striped");
        assert_eq!(image["stripeCount"], 5);
        assert_eq!(image["dataPool"], data.as_str());
        assert_eq!(image["metadata"], json!({ "owner": "ü" }));
        // Snapshots, with a limit; in the trash of snapshots; a group.
        rbd(&["create", "--size", "64M", &at("parent")]);
        for snapshot in ["s1", "s2", "s3"] {
            rbd(&["snap", "create", &at(&format!("parent@{snapshot}"))]);
        }
        rbd(&["snap", "limit", "set", &at("parent"), "--limit", "7"]);
        rbd(&["snap", "protect", &at("parent@s1")]);
        rbd(&["clone", "--rbd-default-clone-format", "1", &at("parent@s1"), &at("v1")]);
        rbd(&["clone", "--rbd-default-clone-format", "2", &at("parent@s2"), &at("v2")]);
        rbd(&[
            "clone",
            "--rbd-default-clone-format",
            "2",
            &at("parent@s3"),
            &format!("{data}/far/{}", place.replace('/', "-")),
        ]);
        rbd(&["snap", "rm", &at("parent@s2")]);
        rbd(&["group", "create", &at("g")]);
        rbd(&["group", "image", "add", &at("g"), &at("parent")]);
        rbd(&["group", "snap", "create", &at("g@gs")]);
        let parent = compare(place, "parent");
        let kinds: Vec<&str> =
            parent["snapshots"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["user", "trash", "user", "group"], "{parent}");
        assert_eq!(parent["snapshots"][1]["name"], "s2");
        assert_eq!(parent["snapshots"][0]["protected"], true);
        assert_eq!(parent["snapshotLimit"], 7);
        assert_eq!(parent["group"]["name"], "g");
        compare(place, "v1");
        let v2 = compare(place, "v2");
        assert_eq!(v2["parent"]["snapshot"], "s2");
        compare(&format!("{data}/far"), &place.replace('/', "-"));
        // A resized clone covers less of its parent; flags are shown.
        rbd(&["resize", "--allow-shrink", "--size", "32M", "--no-progress", &at("v2")]);
        assert_eq!(compare(place, "v2")["parent"]["overlapBytes"], 32 << 20);
        rbd(&["create", "--size", "1M", "--image-feature", "exclusive-lock", &at("flagged")]);
        rbd(&["feature", "enable", &at("flagged"), "object-map"]);
        assert_eq!(compare(place, "flagged")["flags"], json!(["object map invalid", "fast diff invalid"]));
        // The parent in the trash.
        rbd(&["create", "--size", "4M", &at("lost")]);
        rbd(&["snap", "create", &at("lost@s")]);
        rbd(&["clone", "--rbd-default-clone-format", "2", &at("lost@s"), &at("orphan")]);
        rbd(&["trash", "mv", &at("lost")]);
        assert_eq!(compare(place, "orphan")["parent"]["inTrash"], true);
    }
}

#[test]
fn migration_is_shown() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/from")]).unwrap();
    ceph().rbd(&["migration", "prepare", &format!("{pool}/from"), &format!("{pool}/to")]).unwrap();
    let to = api().get(&format!("/api/v1/pools/{pool}/images/to")).unwrap().expect(200).json();
    assert_eq!(to["migration"]["role"], "destination", "{to}");
    assert_eq!(to["migration"]["state"], "prepared");
    assert_eq!(to["migration"]["image"], "from");
    ceph().rbd(&["migration", "abort", &format!("{pool}/to")]).unwrap();
    // From outside RBD, with what must not be shown.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let secret = json!({
        "type": "raw", "stream": { "type": "file", "file_path": file.path(), "password": "hunter2" },
    });
    let imported = format!("{pool}/imported");
    ceph().rbd(&["migration", "prepare", "--import-only", "--source-spec", &secret.to_string(), &imported]).unwrap();
    let answer = api().get(&format!("/api/v1/pools/{pool}/images/imported")).unwrap().expect(200);
    assert_eq!(answer.json()["migration"]["pool"], Value::Null, "{}", answer.text());
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    ceph().rbd(&["migration", "abort", &imported]).unwrap();
}

#[test]
fn impossible_image_is_rejected_with_what_is_allowed() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let tib = 1_u64 << 40;
    for (field, body) in [
        ("name", json!({ "name": "a/b", "sizeBytes": 1 })),
        ("name", json!({ "name": "a@b", "sizeBytes": 1 })),
        ("name", json!({ "name": "", "sizeBytes": 1 })),
        ("name", json!({ "name": "x".repeat(129), "sizeBytes": 1 })),
        ("name", json!({ "name": "a\u{7}", "sizeBytes": 1 })),
        ("sizeBytes", json!({ "name": "a", "sizeBytes": 0 })),
        ("sizeBytes", json!({ "name": "a", "sizeBytes": (1_u64 << 60) + 1 })),
        ("sizeBytes", json!({ "name": "a", "sizeBytes": -1 })),
        ("sizeBytes", json!({ "name": "a", "sizeBytes": "1G" })),
        ("sizeBytes", json!({ "name": "a", "sizeBytes": 2048 * tib })),
        ("features", json!({ "name": "a", "sizeBytes": 1, "features": ["fast-diff", "exclusive-lock"] })),
        ("features", json!({ "name": "a", "sizeBytes": 1, "features": ["striping"] })),
        ("features", json!({ "name": "a", "sizeBytes": 1, "features": ["speed"] })),
        ("objectSizeBytes", json!({ "name": "a", "sizeBytes": 1, "objectSizeBytes": 2048 })),
        ("objectSizeBytes", json!({ "name": "a", "sizeBytes": 1, "objectSizeBytes": 1 << 26 })),
        ("objectSizeBytes", json!({ "name": "a", "sizeBytes": 1, "objectSizeBytes": 5_000_000 })),
        ("stripeCount", json!({ "name": "a", "sizeBytes": 1, "stripeUnitBytes": 65536 })),
        ("stripeUnitBytes", json!({ "name": "a", "sizeBytes": 1, "stripeUnitBytes": 8 << 20, "stripeCount": 2 })),
        ("dataPool", json!({ "name": "a", "sizeBytes": 1, "dataPool": "no-such-pool" })),
        ("metadata", json!({ "name": "a", "sizeBytes": 1, "metadata": { "sparrow.x": "1" } })),
        ("metadata", json!({ "name": "a", "sizeBytes": 1, "metadata": { "conf_rbd_cache": "0" } })),
        ("size", json!({ "name": "a", "sizeBytes": 1, "size": 1 })),
    ] {
        let answer = api().post(&images, &body).unwrap();
        let problem = answer.json();
        assert_eq!(rejected_field(&answer), field, "{body}: {problem}");
        assert!(problem["correction"].is_string(), "{problem}");
    }
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "", "nothing was made");
    // At the edges it works: the largest size, without an object map.
    let body = json!({ "name": "large", "sizeBytes": 1_u64 << 60, "features": ["layering"] });
    api().post(&images, &body).unwrap().expect(201);
    let small = json!({ "name": "small", "sizeBytes": 1, "objectSizeBytes": 4096 });
    assert_eq!(api().post(&images, &small).unwrap().expect(201).json()["objectSizeBytes"], 4096);
    let missing = api().post("/api/v1/pools/no-such-pool/images", &small).unwrap().expect(404);
    assert_eq!(missing.problem(), "pool-not-found");
    let missing = api().post(&format!("/api/v1/pools/{pool}/namespaces/none/images"), &small).unwrap().expect(404);
    assert_eq!(missing.problem(), "namespace-not-found");
    assert_eq!(api().post(&images, &small).unwrap().expect(409).problem(), "exists");
}

#[test]
fn putting_an_image_is_idempotent() {
    let (pool, data) = (pool(), pool());
    let path = format!("/api/v1/pools/{pool}/images/a");
    let body = json!({
        "sizeBytes": 10 << 20, "objectSizeBytes": 1 << 20, "stripeUnitBytes": 4096, "stripeCount": 3,
        "features": ["layering", "exclusive-lock"], "dataPool": data, "metadata": { "k": "v" },
    });
    let made = api().put(&path, &body).unwrap().expect(201);
    assert_eq!(made.header("location"), path);
    let same = api().put(&path, &body).unwrap().expect(200);
    assert_eq!(same.json(), api().get(&path).unwrap().expect(200).json());
    assert_eq!(made.json()["id"], same.json()["id"]);
    // What is not sent is not compared.
    api().put(&path, &json!({ "sizeBytes": 10 << 20 })).unwrap().expect(200);
    for (field, other, existing) in [
        ("sizeBytes", json!(11 << 20), json!(10 << 20)),
        ("objectSizeBytes", json!(2 << 20), json!(1 << 20)),
        ("stripeCount", json!(4), json!(3)),
        ("features", json!([]), json!(["layering", "exclusive-lock"])),
        ("dataPool", json!(pool), json!(data)),
    ] {
        let mut changed = body.clone();
        changed[field] = other.clone();
        let problem = api().put(&path, &changed).unwrap().expect(409);
        assert_eq!(problem.problem(), "exists");
        let problem = problem.json();
        let difference = json!([{ "field": field, "wanted": other, "existing": existing }]);
        assert_eq!(problem["differences"], difference, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
    let other = json!({ "sizeBytes": 10 << 20, "metadata": { "k": "w" } });
    let problem = api().put(&path, &other).unwrap().expect(409).json();
    assert_eq!(problem["differences"][0]["field"], "metadata.k", "{problem}");
    // A request that was cut off before the metadata is finished by repeating it.
    let more = json!({ "sizeBytes": 10 << 20, "metadata": { "k": "v", "l": "w" } });
    let image = api().put(&path, &more).unwrap().expect(200).json();
    assert_eq!(image["metadata"], json!({ "k": "v", "l": "w" }));
    // The default layout, in words.
    let plain = format!("/api/v1/pools/{pool}/images/b");
    api().put(&plain, &json!({ "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let words = json!({
        "sizeBytes": 1 << 20, "objectSizeBytes": 4 << 20, "stripeUnitBytes": 4 << 20, "stripeCount": 1,
        "dataPool": pool,
    });
    api().put(&plain, &words).unwrap().expect(200);
}

#[test]
fn of_many_who_put_the_same_image_one_makes_it() {
    let pool = pool();
    for (round, body) in [
        json!({ "sizeBytes": 1 << 30 }),
        json!({
            "sizeBytes": 1 << 30, "objectSizeBytes": 1 << 20, "stripeUnitBytes": 65536, "stripeCount": 4,
            "metadata": { "a": "b" },
        }),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/api/v1/pools/{pool}/images/same{round}");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    scope.spawn(|| {
                        let answer = api().put(&path, body).unwrap();
                        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
                        assert_eq!(answer.json()["sizeBytes"], 1 << 30);
                        answer.status
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    }
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap().lines().count(), 2);
}

#[test]
fn long_list_is_read_page_by_page() {
    let pool = pool();
    let io = context(&pool);
    std::thread::scope(|scope| {
        for part in 0..5 {
            let io = &io;
            scope.spawn(move || {
                for number in 0..55 {
                    let prefix = if number < 50 { "vol-" } else { "x-" };
                    let name = format!("{prefix}{:03}", part * 55 + number);
                    io.create_image(&name, size(1 << 20), &ceph::ImageSpec { features: Some(1), ..Default::default() })
                        .unwrap();
                }
            });
        }
    });
    for view in ["names", "full"] {
        let mut names = Vec::new();
        let mut from = String::new();
        let mut pages = 0;
        loop {
            let path = format!("/api/v1/pools/{pool}/images?view={view}&prefix=vol-&limit=60{from}");
            let page = api().get(&path).unwrap().expect(200).json();
            let items = page["Items"].as_array().unwrap();
            assert!(items.len() <= 60, "{}", items.len());
            names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["Continue"].as_str() {
                Some(token) => from = format!("&continue={token}"),
                None => break,
            }
        }
        assert_eq!(names.len(), 250);
        assert!(names.is_sorted() && names.iter().all(|name| name.starts_with("vol-")));
        assert!((5..=6).contains(&pages), "{pages}");
    }
    let all = api().get(&format!("/api/v1/pools/{pool}/images")).unwrap().expect(200).json();
    assert_eq!(all["Items"].as_array().unwrap().len(), 275);
    let wrong = api().get(&format!("/api/v1/pools/{pool}/images?continue=xx")).unwrap().expect(400).json();
    assert_eq!(wrong["field"], "continue");
}

#[test]
fn names_that_others_gave_are_reached_percent_encoded() {
    let pool = pool();
    let io = context(&pool);
    let long = "n".repeat(300);
    let names = ["a/b@c", "ü %+&?#", "..", ".hidden", long.as_str()];
    for name in names {
        io.create_image(name, size(1 << 20), &ceph::ImageSpec::default()).unwrap();
    }
    let images = format!("/api/v1/pools/{pool}/images");
    let encoded = |name: &str| rbd_api::names::encode_segment(name);
    assert_eq!(encoded("a/b@c"), "a%2Fb%40c");
    for name in names {
        // A lone `..` is not a name in a URL: clients resolve it.
        if name == ".." {
            continue;
        }
        let path = format!("{images}/{}", encoded(name));
        let image = api().get(&path).unwrap().expect(200).json();
        assert_eq!(image["name"], name);
        assert_eq!(
            api().post(&images, &json!({ "name": name, "sizeBytes": 1 })).unwrap().status == 400,
            name != "ü %+&?#"
        );
        api().post(&format!("{path}/snapshots"), &json!({ "name": "s" })).unwrap().expect(201);
        api().delete(&format!("{path}/snapshots/s")).unwrap().expect(204);
        api().delete(&path).unwrap();
        assert_eq!(api().get(&path).unwrap().expect(404).problem(), "image-not-found");
    }
}

#[test]
fn image_whose_removal_was_cut_off_is_shown_and_never_used() {
    let pool = pool();
    let io = context(&pool);
    let images = format!("/api/v1/pools/{pool}/images");
    // Cut off after the header went: listed, but without one.
    io.create_image("headless", size(1 << 20), &ceph::ImageSpec::default()).unwrap();
    let id = api().get(&format!("{images}/headless")).unwrap().json()["id"].as_str().unwrap().to_owned();
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_header.{id}")]).unwrap();
    // Cut off while it deleted data: in the trash, where Ceph's own lists hide it.
    io.create_image("trashed", size(1 << 40), &ceph::ImageSpec { features: Some(1), ..Default::default() }).unwrap();
    let cut = io.remove_image("trashed", &|done, _| {
        if done > 3 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    });
    assert!(cut.is_err(), "the removal was cancelled");
    for name in ["headless", "trashed"] {
        let path = format!("{images}/{name}");
        let image = api().get(&path).unwrap().expect(200).json();
        assert_eq!(image["state"], "removing", "{image}");
        assert!(image["stateReason"].is_string() && image["sizeBytes"].is_null(), "{image}");
        for (method, path, body) in [
            ("POST", format!("{path}/rename"), json!({ "name": "other" })),
            ("POST", format!("{path}/features"), json!({ "enable": ["journaling"] })),
            ("GET", format!("{path}/metadata"), json!(null)),
            ("PUT", format!("{path}/metadata/k"), json!({ "value": "v" })),
            ("GET", format!("{path}/qos"), json!(null)),
            ("GET", format!("{path}/usage"), json!(null)),
            ("GET", format!("{path}/watchers"), json!(null)),
            ("GET", format!("{path}/snapshots"), json!(null)),
            ("POST", format!("{path}/snapshots"), json!({ "name": "s" })),
        ] {
            let answer =
                if body.is_null() { api().get(&path).unwrap() } else { api().json(method, &path, &body).unwrap() };
            assert_eq!(answer.clone().expect(409).problem(), "removing", "{method} {path}");
            assert!(answer.json()["correction"].as_str().unwrap().contains("DELETE"), "{}", answer.text());
        }
    }
    let full = api().get(&format!("{images}?view=full")).unwrap().expect(200).json();
    assert_eq!(full["Items"].as_array().unwrap().len(), 2, "{full}");
    // Its name is taken as long as it is in the directory.
    let taken = api().post(&images, &json!({ "name": "headless", "sizeBytes": 1 })).unwrap().expect(409);
    assert_eq!(taken.problem(), "removing");
    let taken = api().put(&format!("{images}/headless"), &json!({ "sizeBytes": 1 })).unwrap().expect(409);
    assert_eq!(taken.problem(), "removing");
    // A damaged header is not called a removal.
    io.create_image("damaged", size(1 << 20), &ceph::ImageSpec::default()).unwrap();
    let id = api().get(&format!("{images}/damaged")).unwrap().json()["id"].as_str().unwrap().to_owned();
    ceph().rados(&["-p", &pool, "setomapval", &format!("rbd_header.{id}"), "size", "x"]).unwrap();
    let image = api().get(&format!("{images}/damaged")).unwrap().expect(200).json();
    assert_eq!(image["state"], "damaged", "{image}");
    assert_eq!(api().get(&format!("{images}/damaged/metadata")).unwrap().expect(500).problem(), "damaged");
}
