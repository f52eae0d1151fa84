//! A start with a module that nginx does not load.

use std::path::{Path, PathBuf};

use nginx_process::OutcomeState;

use crate::bench::Bench;

/// The number of Debian 12's nginx 1.22.1, and that of Debian 13's.
const BUILT_FOR: u64 = 1_022_001;
const ANOTHER: u64 = 1_026_003;

/// A module as its file has it, up to the number of the nginx that it is built for (`NGX_MODULE_V1` in nginx' `src/core/ngx_module.h`): two places
/// that are not known yet, no name, and two words that are spare. The number alone may be elsewhere too.
fn module_for(nginx: u64) -> Vec<u8> {
    [u64::MAX, u64::MAX, 0, 0, 0, nginx].map(u64::to_le_bytes).concat()
}

/// The module with other bytes at the one place where these are.
fn changed_module(bench: &Bench, name: &str, from: &[u8], to: &[u8]) -> PathBuf {
    let mut bytes = std::fs::read(testbed::nginx::module()).unwrap();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("{from:?} is at {places:?}") };
    bytes[at..at + to.len()].copy_from_slice(to);
    let path = bench.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What is reported of a configuration that loads a module, while `good` is served.
async fn rejection(bench: &Bench, module: &Path) -> String {
    let running = bench.start_on("good").await;
    let mut files = bench.files("loads", "", "");
    let main = files.get_mut("nginx.conf").unwrap();
    *main = format!("load_module {};\n{}", module.display(), String::from_utf8_lossy(main)).into_bytes();
    bench.volume.offer("loads", &files, None).unwrap();
    let outcome = bench.outcome("loads").await;
    assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Refused, Some("good")), "{outcome:?}");
    assert_eq!(running.handle.status().last_error.as_deref(), Some(outcome.message.as_str()));
    running.stop().await;
    outcome.message
}

#[tokio::test]
async fn module_for_another_nginx_is_named_with_both_versions() {
    let bench = Bench::new(testbed::nginx::debian());
    let module = changed_module(&bench, "module.so", &module_for(BUILT_FOR), &module_for(ANOTHER));
    let message = rejection(&bench, &module).await;
    assert!(message.contains(&module.display().to_string()), "{message}");
    assert!(
        message.ends_with(
            "; the module is built for nginx 1.26.3, and this is nginx 1.22.1: take an image in which the two belong together, or \
             have scripts/build-nginx build it"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn module_for_an_nginx_that_is_configured_differently_is_explained() {
    let bench = Bench::new(testbed::nginx::debian());
    let module = changed_module(&bench, "module.so", b"8,4,8,00", b"8,4,8,10");
    let message = rejection(&bench, &module).await;
    assert!(message.contains("configured differently from this one: take an image"), "{message}");
}

#[tokio::test]
async fn image_without_the_module_is_named() {
    let bench = Bench::new(testbed::nginx::debian());
    let message = rejection(&bench, &bench.path("ngx_http_sparrow_module.so")).await;
    assert!(message.contains("the image of nginx has no such file"), "{message}");
    assert!(message.ends_with("or name where it is with --nginx-module"), "{message}");
}

#[tokio::test]
async fn nginx_that_loads_no_modules_is_named() {
    let bench = Bench::new(testbed::nginx::newest());
    let message = rejection(&bench, &testbed::nginx::module()).await;
    assert!(message.contains("this nginx is linked statically and loads no module"), "{message}");
}
