//! An image's data through nginx.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{NODE_PORT, Site, site};
use serde_json::json;

const SIZE: u64 = 1 << 30;

#[test]
fn a_gibibyte_out_and_in() {
    let site = site();
    let site = site.as_ref().unwrap();
    let token = site.token("transfer", "sparrow-rbd-operator").unwrap();
    let client = site.client(NODE_PORT).with_token(&token);
    let images = "/volume/api/v1/pools/rbd/images";
    client.post(images, &json!({ "name": "first", "sizeBytes": SIZE })).unwrap().expect(201);
    // Ceph's own tool fills it, with what cannot be shortened: half at the beginning, and holes.
    site.cluster
        .ceph()
        .rbd(&[
            "bench",
            "rbd/first",
            "--io-type",
            "write",
            "--io-size",
            "4M",
            "--io-total",
            "512M",
            "--io-pattern",
            "rand",
        ])
        .unwrap();

    let dir = site.cluster.dir().join("transfer");
    fs::create_dir(&dir).unwrap();
    let (out, back) = (dir.join("out"), dir.join("back"));
    let header = format!("Authorization: Bearer {token}");
    let url = |image: &str| format!("http://{}:{NODE_PORT}{images}/{image}/data", site.cluster.node_addresses()[0]);
    let path = |path: &std::path::Path| path.display().to_string();
    curl(site, &["--header", &header, "--output", &path(&out), &url("first")]).unwrap();
    assert_eq!(fs::metadata(&out).unwrap().len(), SIZE);
    let expected = site
        .cluster
        .ceph()
        .rbd(&["export", "rbd/first", &path(&back), "--no-progress"])
        .map(|_| sum(&back).unwrap())
        .unwrap();
    assert_eq!(sum(&out).unwrap(), expected);

    curl(site, &["--header", &header, "--upload-file", &path(&out), &url("second")]).unwrap();
    fs::remove_file(&back).unwrap();
    site.cluster.ceph().rbd(&["export", "rbd/second", &path(&back), "--no-progress"]).unwrap();
    assert_eq!(sum(&back).unwrap(), expected);
    fs::remove_dir_all(&dir).unwrap();
    for image in ["first", "second"] {
        site.cluster.ceph().rbd(&["rm", &format!("rbd/{image}"), "--no-progress"]).unwrap();
    }
}

fn curl(site: &Site, args: &[&str]) -> Result<()> {
    let mut command = site.cluster.command("curl");
    command
        .args(["-q", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "240"])
        .args(args);
    let output = command.output().context("start curl")?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The SHA-256 of a file, by coreutils.
fn sum(path: &std::path::Path) -> Result<String> {
    let output = std::process::Command::new("sha256sum").arg(path).output().context("start sha256sum")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
