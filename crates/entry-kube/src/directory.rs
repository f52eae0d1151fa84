//! A directory of manifests: `*.yaml`, `*.yml` and `*.json`, in any case, not those of directories below it.
//!
//! What is broken never takes away what is in force: as long as something in a file cannot be read, the last good objects
//! of that file stay. A file that is removed takes its objects with it. A file that someone is still writing is not read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use entry_model::{Key, Kind, ObjectRef, Snapshot};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::manifest::{self, Manifest, ManifestFault};
use crate::read_bounds::ReadBounds;

/// What was read of a directory.
pub(crate) struct Directory {
    pub(crate) dir: PathBuf,
    bounds: ReadBounds,
    files: BTreeMap<String, ManifestFile>,
    /// What all files say, as long as each says something else, and nothing that cannot be read: then a file that changes changes
    /// only its own objects.
    plain: Option<PlainFiles>,
}

/// What files say of which each object is in one, and none is unreadable.
struct PlainFiles {
    snapshot: Snapshot,
    /// The file of each object.
    origin: HashMap<ObjectRef, String>,
}

/// What was read of a file.
struct ManifestFile {
    stamp: Option<FileStamp>,
    manifest: Manifest,
    /// Objects that are in force though the file has no good version of them now.
    kept: Manifest,
}

/// Tells versions of a file apart: device, inode, length, and the times of the last writing and of the last change.
type FileStamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(data: &Metadata) -> FileStamp {
    (data.dev(), data.ino(), data.len(), (data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()))
}

impl Directory {
    pub(crate) fn new(dir: &Path, bounds: ReadBounds) -> Self {
        Self { dir: dir.to_owned(), bounds, files: BTreeMap::new(), plain: None }
    }

    /// Reads files of which it is known that they changed, and looks at no other.
    ///
    /// # Errors
    /// As [`Directory::refresh`].
    pub(crate) fn refresh_files(&mut self, touched: &BTreeSet<String>) -> Result<Snapshot> {
        let error = |cause| Error::Directory { dir: self.dir.clone(), cause };
        let root = fs::canonicalize(&self.dir).map_err(error)?;
        let lengths = self.files.iter().filter(|(name, _)| !touched.contains(*name));
        let used: u64 = lengths.filter_map(|(_, file)| Some(file.stamp?.2)).sum();
        let mut left = self.bounds.total_bytes.saturating_sub(used);
        // Which files are the first ones, and which are too many, is known only of all.
        if self.plain.is_none() || self.files.len() + touched.len() > self.bounds.files {
            return self.refresh(touched, &BTreeSet::new());
        }
        for name in touched {
            match read_file(&root, name, None, &mut left, &self.bounds) {
                Ok(Some((stamp, text))) => self.replace(name, Some((stamp, parse(name, &text, &self.bounds)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.dir.join(name).is_symlink() => {
                    self.replace(name, None);
                }
                Ok(None) | Err(_) => return self.refresh(touched, &BTreeSet::new()),
            }
        }
        Ok(self.plain.as_ref().map_or_else(|| self.snapshot(), |plain| plain.snapshot.clone()))
    }

    /// Takes this as what a file says, or nothing any more.
    fn replace(&mut self, name: &str, read: Option<(FileStamp, Manifest)>) {
        let before = self.files.remove(name);
        let plain = self.plain.take().map(|mut plain| {
            if let Some(before) = &before {
                plain.remove(before);
            }
            plain
        });
        let Some((stamp, manifest)) = read else {
            self.plain = plain;
            return;
        };
        let file = ManifestFile::new(Some(stamp), manifest, before);
        self.plain = plain.and_then(|mut plain| plain.add(name, &file).then_some(plain));
        self.files.insert(name.to_owned(), file);
    }

    /// Reads what has changed. `touched` files are read even if they look unchanged; `busy` ones are being written, so
    /// that what is known of them stays.
    ///
    /// # Errors
    /// [`Error::Directory`]; what is known then stays known.
    pub(crate) fn refresh(&mut self, touched: &BTreeSet<String>, busy: &BTreeSet<String>) -> Result<Snapshot> {
        let names = self.names().map_err(|cause| Error::Directory { dir: self.dir.clone(), cause })?;
        let known = self.files.len();
        self.files.retain(|name, _| names.contains(name));
        let mut is_same = self.files.len() == known;
        let root = fs::canonicalize(&self.dir).map_err(|cause| Error::Directory { dir: self.dir.clone(), cause })?;
        let bounds = self.bounds;
        let mut left = bounds.total_bytes;
        for (index, name) in names.iter().enumerate() {
            if busy.contains(name) {
                continue;
            }
            let known = self.files.get(name).and_then(|known| known.stamp).filter(|_| !touched.contains(name));
            let (stamp, manifest) = if index >= bounds.files {
                let most = bounds.files;
                (None, unreadable_manifest(&format!("it is not read: only the first {most} files are")))
            } else {
                match read_file(&root, name, known, &mut left, &bounds) {
                    Ok(None) => continue,
                    Ok(Some((stamp, text))) => (Some(stamp), parse(name, &text, &bounds)),
                    // Gone since it was listed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !self.dir.join(name).is_symlink() => {
                        continue;
                    }
                    Err(error) => (None, unreadable_manifest(&format!("it cannot be read: {error}"))),
                }
            };
            is_same = false;
            let before = self.files.remove(name);
            self.files.insert(name.clone(), ManifestFile::new(stamp, manifest, before));
        }
        if let Some(plain) = self.plain.as_ref().filter(|_| is_same) {
            return Ok(plain.snapshot.clone());
        }
        let snapshot = self.snapshot();
        self.plain = PlainFiles::of(&self.files, &snapshot);
        Ok(snapshot)
    }

    /// The names of all manifests.
    fn names(&self) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_manifest(&name) && !entry.file_type()?.is_dir() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut origin: BTreeMap<ObjectRef, String> = BTreeMap::new();
        let mut faults: Vec<(&String, ManifestFault)> = Vec::new();
        for (name, known) in &self.files {
            for (reference, (line, object)) in known.manifest.objects.iter().chain(&known.kept.objects) {
                if let Some(first) = origin.get(reference) {
                    let message = format!("{reference} is already in {first}: this one is not used");
                    faults.push((name, ManifestFault::new(*line, Some(reference.clone()), &message)));
                } else {
                    origin.insert(reference.clone(), format!("{name}:{line}"));
                    snapshot.put(object.clone());
                }
            }
        }
        for (name, known) in &self.files {
            faults.extend(known.manifest.faults.iter().map(|fault| (name, fault.clone())));
        }
        for (name, fault) in faults {
            let place = if fault.line == 0 { name.clone() } else { format!("{name}:{}", fault.line) };
            let kept = !self.files[name].kept.objects.is_empty();
            let manifest = || ObjectRef::new(Kind::Manifest, Key { namespace: String::new(), name: place.clone() });
            let fault_of = |what: &str| format!("{what}{}", fault.message);
            let (reference, message) = match &fault.object {
                Some(object) if !origin.contains_key(object) => (object.clone(), fault_of(&format!("{place}: "))),
                // What is in force comes first: messages are cut.
                Some(object) if kept => (manifest(), fault_of(&format!("the {object} of before stays in force: "))),
                Some(object) => (manifest(), fault_of(&format!("{object}: "))),
                None if kept => (manifest(), fault_of("what the file said before stays in force: ")),
                None => (manifest(), fault_of("")),
            };
            // Several faults in one place, such as in the items of a list.
            let reported = snapshot.unreadable.entry(reference).or_default();
            if reported.is_empty() {
                *reported = message;
            } else if reported.len() < 2000 {
                reported.push_str("; ");
                reported.push_str(&message);
            }
        }
        snapshot
    }
}

impl PlainFiles {
    /// What these files say; none if they are not plain.
    fn of(files: &BTreeMap<String, ManifestFile>, snapshot: &Snapshot) -> Option<Self> {
        let objects = |(name, file): (&String, &ManifestFile)| -> Vec<(ObjectRef, String)> {
            file.manifest.objects.keys().map(|object| (object.clone(), name.clone())).collect()
        };
        let is_plain = snapshot.unreadable.is_empty();
        is_plain.then(|| Self { snapshot: snapshot.clone(), origin: files.iter().flat_map(objects).collect() })
    }

    /// Takes out what a file has said.
    fn remove(&mut self, file: &ManifestFile) {
        for object in file.manifest.objects.keys() {
            self.snapshot.remove(object);
            self.origin.remove(object);
        }
    }

    /// Adds what a file says; false if then they are not plain any more.
    fn add(&mut self, name: &str, file: &ManifestFile) -> bool {
        for (reference, (_, object)) in &file.manifest.objects {
            if self.origin.insert(reference.clone(), name.to_owned()).is_some() {
                return false;
            }
            self.snapshot.put(object.clone());
        }
        file.manifest.faults.is_empty() && file.kept.objects.is_empty()
    }
}

impl ManifestFile {
    fn new(stamp: Option<FileStamp>, manifest: Manifest, before: Option<ManifestFile>) -> Self {
        let mut kept = Manifest::default();
        if let Some(before) = before.filter(|_| !manifest.faults.is_empty()) {
            kept.objects = before.kept.objects;
            kept.objects.extend(before.manifest.objects);
            kept.objects.retain(|reference, _| !manifest.objects.contains_key(reference));
        }
        Self { stamp, manifest, kept }
    }
}

/// The documents of all files, as far as they can be read.
pub(crate) fn read_documents(dir: &Path, bounds: &ReadBounds) -> Result<Vec<Value>> {
    let error = |cause| Error::Directory { dir: dir.to_owned(), cause };
    let names = Directory::new(dir, *bounds).names().map_err(error)?;
    let root = fs::canonicalize(dir).map_err(error)?;
    let mut left = bounds.total_bytes;
    let texts = names.iter().take(bounds.files).filter_map(|name| {
        let (_, text) = read_file(&root, name, None, &mut left, bounds).ok()??;
        Some((name, text))
    });
    let documents = texts.map(|(name, text)| match extension(name).as_deref() {
        Some("json") => manifest::json_values(&text),
        _ => manifest::yaml_values(&text, bounds),
    });
    Ok(documents.flatten().collect())
}

/// What the text of a file of this name says.
fn parse(name: &str, text: &str, bounds: &ReadBounds) -> Manifest {
    if extension(name).as_deref() == Some("json") { manifest::read_json(text) } else { manifest::read(text, bounds) }
}

/// A file that cannot be read at all.
fn unreadable_manifest(message: &str) -> Manifest {
    Manifest { faults: vec![ManifestFault::new(0, None, message)], ..Manifest::default() }
}

/// Whether a file of this name is read. Hidden ones are not: editors keep their drafts in such.
pub(crate) fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && matches!(extension(name).as_deref(), Some("yaml" | "yml" | "json"))
}

/// What a name ends in, in lower case.
fn extension(name: &str) -> Option<String> {
    Path::new(name).extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase)
}

/// The text of a file; `None` if it is still the `known` one. Takes its length off what is `left`.
fn read_file(
    root: &Path,
    name: &str,
    known: Option<FileStamp>,
    left: &mut u64,
    bounds: &ReadBounds,
) -> io::Result<Option<(FileStamp, String)>> {
    let path = fs::canonicalize(root.join(name))?;
    // A volume of a ConfigMap has links from `web.yaml` to `..data/web.yaml`, and from `..data` to a directory beside it.
    if !path.starts_with(root) {
        return Err(io::Error::other("it is a link that leads out of the directory"));
    }
    // Neither a link that came since, nor a pipe that nobody writes to.
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let &ReadBounds { file_bytes, total_bytes, .. } = bounds;
    if data.len() > file_bytes {
        return Err(io::Error::other(format!("it is longer than {file_bytes} bytes")));
    }
    *left = left.checked_sub(data.len()).ok_or_else(|| {
        io::Error::other(format!(
            "the manifests are longer than {total_bytes} bytes in all, and those before it fill that"
        ))
    })?;
    let stamp = stamp(&data);
    if known == Some(stamp) {
        return Ok(None);
    }
    let mut text = String::new();
    // It may have grown.
    file.take(file_bytes).read_to_string(&mut text)?;
    // A byte order mark, with which some editors begin a file.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(Some((stamp, text)))
}
