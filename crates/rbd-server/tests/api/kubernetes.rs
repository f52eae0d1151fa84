//! An image as a volume of Kubernetes.

use serde_json::{Value, json};
use testbed::kube::ApiServer;

use crate::support::{api, ceph, pool};

fn object(server: &ApiServer, path: &str) -> Value {
    let (status, body) = server.request("GET", path, None).expect("an answer");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn manifests_are_taken_by_a_real_api_server() {
    let server = ApiServer::shared().unwrap();
    let pool = pool();
    ceph().rbd(&["create", "--size", "1537M", &format!("{pool}/disk")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/disk/persistent-volume?clusterID=ceph-1");
    let answer = api().get(&format!("{path}&secretNamespace=csi&fsType=xfs")).unwrap().expect(200);
    assert_eq!(answer.header("content-type"), "application/yaml");
    server.apply(&answer.text()).unwrap();
    let claim = object(server, "/api/v1/namespaces/default/persistentvolumeclaims/disk");
    let name = claim["spec"]["volumeName"].as_str().unwrap();
    assert!(name.starts_with("disk-"), "{name}");
    let volume = object(server, &format!("/api/v1/persistentvolumes/{name}"));
    let spec = &volume["spec"];
    assert_eq!(spec["capacity"]["storage"], "1537Mi");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1537Mi");
    assert_eq!((&spec["persistentVolumeReclaimPolicy"], &spec["volumeMode"]), (&json!("Retain"), &json!("Filesystem")));
    assert_eq!(claim["spec"]["storageClassName"], "");
    assert_eq!((&spec["claimRef"]["name"], &spec["claimRef"]["namespace"]), (&json!("disk"), &json!("default")));
    let csi = json!({
        "driver": "rbd.csi.ceph.com",
        "volumeHandle": "disk",
        "fsType": "xfs",
        "nodeStageSecretRef": { "name": "csi-rbd-secret", "namespace": "csi" },
        "volumeAttributes": {
            "clusterID": "ceph-1", "pool": pool, "staticVolume": "true", "imageFeatures": "layering",
        },
    });
    assert_eq!(spec["csi"], csi);

    // The same as JSON.
    let list = api().send("GET", &path, &[("accept", "application/json")], &[]).unwrap().expect(200);
    assert!(list.header("content-type").starts_with("application/json"));
    assert_eq!(list.json()["kind"], "List");
    assert_eq!(list.json()["items"][0]["metadata"]["name"], name);

    // As a block device for two nodes.
    let block =
        format!("{path}&volumeMode=Block&accessMode=ReadWriteMany&claimName=raw&volumeName=raw&mounter=rbd-nbd");
    server.apply(&api().get(&block).unwrap().expect(200).text()).unwrap();
    let spec = object(server, "/api/v1/persistentvolumes/raw")["spec"].clone();
    assert_eq!((&spec["volumeMode"], &spec["accessModes"]), (&json!("Block"), &json!(["ReadWriteMany"])));
    assert_eq!(spec["csi"]["volumeAttributes"]["mounter"], "rbd-nbd");
    assert!(spec["csi"].get("fsType").is_none());
}

#[test]
fn names_and_parameters_cannot_say_more_than_they_are() {
    let server = ApiServer::shared().unwrap();
    let pool = pool();
    // librbd takes these names.
    for (image, encoded) in
        [("Größe: {a} # \"b\"\\", "Gr%C3%B6%C3%9Fe%3A%20%7Ba%7D%20%23%20%22b%22%5C"), ("- yes", "-%20yes")]
    {
        ceph().rbd(&["create", "--size", "1G", "--pool", &pool, "--image", image]).unwrap();
        let cluster = "x%22%0A%20%20evil%3A%20%22y";
        let path = format!("/api/v1/pools/{pool}/images/{encoded}/persistent-volume");
        assert_eq!(api().get(&format!("{path}?clusterID={cluster}")).unwrap().expect(400).json()["field"], "clusterID");
        let yaml = api().get(&format!("{path}?clusterID=x%22%3A%20%7By%7D%27")).unwrap().expect(200).text();
        server.apply(&yaml).unwrap();
        let json = api().send("GET", &format!("{path}?clusterID=x"), &[("accept", "application/json")], &[]).unwrap();
        let name = json.expect(200).json()["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
        let volume = object(server, &format!("/api/v1/persistentvolumes/{name}"));
        assert_eq!(volume["spec"]["csi"]["volumeHandle"], image);
        assert_eq!(volume["spec"]["csi"]["volumeAttributes"]["clusterID"], "x\": {y}'");
    }
    ceph().rbd(&["create", "--size", "1G", &format!("{pool}/a")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a/persistent-volume");
    for (query, field) in [
        ("", "clusterID"),
        ("?clusterID=", "clusterID"),
        ("?clusterID=c&accessMode=ReadWriteMany", "accessMode"),
        ("?clusterID=c&accessMode=Any", "accessMode"),
        ("?clusterID=c&volumeMode=Block&fsType=ext4", "fsType"),
        ("?clusterID=c&fsType=ntfs", "fsType"),
        ("?clusterID=c&secretName=A", "secretName"),
        ("?clusterID=c&secretNamespace=a.b", "secretNamespace"),
        ("?clusterID=c&claimName=a%0Ab", "claimName"),
        ("?clusterID=c&volumeName=-a", "volumeName"),
        ("?clusterID=c&driver=a_b", "driver"),
        ("?clusterID=c&radosNamespace=n", "radosNamespace"),
        ("?clusterID=c&size=1", "size"),
    ] {
        let answer = api().get(&format!("{path}{query}")).unwrap();
        assert!([400, 409].contains(&answer.status), "{query}: {}", answer.text());
        let named =
            answer.json()["field"].as_str() == Some(field) || answer.json()["detail"].as_str().unwrap().contains(field);
        assert!(named, "{query}: {}", answer.text());
    }
}

#[test]
fn images_that_cannot_be_volumes_are_rejected_with_the_reason() {
    let pool = pool();
    let get = |image: &str, query: &str| {
        api().get(&format!("/api/v1/pools/{pool}/images/{image}/persistent-volume?clusterID=c{query}")).unwrap()
    };
    assert_eq!(get("none", "").expect(404).problem(), "image-not-found");
    ceph().rbd(&["create", "--size", "0", &format!("{pool}/empty")]).unwrap();
    assert_eq!(get("empty", "").expect(409).problem(), "conflict");
    let features = "layering,exclusive-lock,journaling";
    ceph().rbd(&["create", "--size", "1G", "--image-feature", features, &format!("{pool}/journaled")]).unwrap();
    assert!(get("journaled", "").expect(409).json()["correction"].as_str().unwrap().contains("rbd-nbd"));
    let yaml = get("journaled", "&mounter=rbd-nbd").expect(200).text();
    assert!(yaml.contains("imageFeatures: \"layering,exclusive-lock,journaling\""), "{yaml}");

    // In a namespace, which ceph-csi knows by its own configuration alone.
    ceph().rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    ceph().rbd(&["create", "--size", "1G", &format!("{pool}/n/a")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/namespaces/n/images/a/persistent-volume?clusterID=c");
    let unsaid = api().get(&path).unwrap().expect(409).json();
    assert_eq!(unsaid["field"], "radosNamespace");
    assert!(unsaid["allowed"].as_str().unwrap().contains("config.json"), "{unsaid}");
    let yaml = api().get(&format!("{path}&radosNamespace=n")).unwrap().expect(200).text();
    assert!(yaml.starts_with("# ceph-csi finds the image only if"), "{yaml}");
    assert!(yaml.contains("\"radosNamespace\": \"n\""), "{yaml}");
    // Half-deleted.
    let info = ceph().rbd(&["info", "--format", "json", &format!("{pool}/journaled")]).unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_header.{}", info["id"].as_str().unwrap())]).unwrap();
    assert_eq!(get("journaled", "&mounter=rbd-nbd").expect(409).problem(), "removing");
}
