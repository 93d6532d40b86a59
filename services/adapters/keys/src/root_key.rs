//! The root key: what every other key of a node is sealed under.
//!
//! Its one text form is 32 bytes in base64, in a file as in the environment, so an embedded node's key can be
//! handed to a cluster as it is.
//!
//! **Invariant:** a file that others may read is refused, and no file is ever overwritten.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::provider::{self, Refused, Sealer};

/// 44 characters and a line end; whatever is longer is no root key, and is not read to its end.
const TEXT_BYTES_MAX: u64 = 128;

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// `openssl rand -base64 32` writes this one.
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// The root key. `Debug` hides it.
pub struct RootKey(Zeroizing<[u8; 32]>);

/// The text is no root key; it may be half of one, so it is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a root key: 32 bytes in base64 are expected, as `openssl rand -base64 32` prints them")]
pub struct NotARootKey;

/// Why there is no root key from a file. Nothing passes by itself: an operator must act.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// The file cannot be read.
    #[error("root key file `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("root key file `{}` cannot be created", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is open to others than its owner.
    #[error(
        "root key file `{path}` is open to others than its owner (mode {mode:04o}): run `chmod 600 '{path}'`, \
         and replace the key if somebody may have read it",
        path = path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("root key file `{}` holds no root key", path.display())]
    NotARootKey {
        /// The file.
        path: PathBuf,
        /// What was expected.
        source: NotARootKey,
    },
    /// The operating system gave no randomness.
    #[error("no root key: no randomness from the operating system")]
    NoRandomness,
}

impl RootKey {
    /// From its text: 32 bytes in base64, either alphabet, padded or not; white space around it is dropped.
    pub fn from_base64(text: &str) -> Result<Self, NotARootKey> {
        let text = text.trim();
        let engine = if text.contains(['-', '_']) {
            &URL_SAFE
        } else {
            &STANDARD
        };
        let bytes = engine.decode(text).map(Zeroizing::new).map_err(|_| NotARootKey)?;
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(NotARootKey);
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// From a file or, where there is none, a new one in a new file of mode 0600.
    ///
    /// The file appears whole or not at all, and two processes that start at once get the same key.
    /// Its directory must exist. A file that group or others may touch is refused.
    pub fn from_file_or_create(path: &Path) -> Result<Self, RootKeyError> {
        match Self::from_file(path) {
            Err(RootKeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)?;
                Self::from_file(path)
            }
            read => read,
        }
    }

    /// From a file that is there. One that group or others may touch is refused.
    pub fn from_file(path: &Path) -> Result<Self, RootKeyError> {
        let file = File::open(path).map_err(|source| RootKeyError::Read {
            path: path.into(),
            source,
        })?;
        Self::read(path, file)
    }

    /// A new key, kept nowhere: for demonstrations and tests.
    pub fn generate() -> Result<Self, RootKeyError> {
        provider::random()
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|Refused| RootKeyError::NoRandomness)
    }

    /// Proof that one holds this key, without showing it: what the operator's commands send to their own node.
    #[must_use]
    pub fn proof(&self) -> [u8; 16] {
        curfew_core::mac::tag16(
            &curfew_core::secret::MacKey::new(*self.0),
            "curfew/bootstrap/v1",
            &[],
        )
    }

    pub(crate) fn sealer(&self) -> Result<Sealer, Refused> {
        Sealer::new(&self.0)
    }

    /// Permissions are those of the file that was opened, not of what the path names a moment later.
    fn read(path: &Path, file: File) -> Result<Self, RootKeyError> {
        let read = |source| RootKeyError::Read {
            path: path.into(),
            source,
        };
        let mode = file.metadata().map_err(read)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(RootKeyError::OpenToOthers {
                path: path.into(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(TEXT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(read)?;
        Self::from_base64(&text).map_err(|source| RootKeyError::NotARootKey {
            path: path.into(),
            source,
        })
    }

    /// Writes a new key beside `path` and links it there: a link never replaces a file that came first.
    fn create(path: &Path) -> Result<(), RootKeyError> {
        let key = Self::generate()?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.0.as_slice())));
        let suffix: [u8; 8] = provider::random().map_err(|Refused| RootKeyError::NoRandomness)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{:016x}", u64::from_be_bytes(suffix)));
        let draft = PathBuf::from(draft);
        let linked =
            write_durably(&draft, text.as_bytes()).and_then(|()| match fs::hard_link(&draft, path) {
                // Another process was first; its key is the key.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            });
        // A draft that cannot be removed is another key's, in a file of mode 0600: useless, and harmless.
        let _ = fs::remove_file(&draft);
        linked
            .and_then(|()| sync_directory_of(path))
            .map_err(|source| RootKeyError::Create {
                path: path.into(),
                source,
            })
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A new name is durable once its directory is.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_gives_the_same_key_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let first = RootKey::from_file_or_create(&path).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no draft is left"
        );
        assert_eq!(*RootKey::from_file_or_create(&path).unwrap().0, *first.0);
        assert_eq!(
            *RootKey::from_base64(&fs::read_to_string(&path).unwrap())
                .unwrap()
                .0,
            *first.0
        );
    }

    #[test]
    fn processes_that_start_at_once_get_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let keys: std::collections::BTreeSet<[u8; 32]> = std::thread::scope(|scope| {
            let start = || *RootKey::from_file_or_create(&path).unwrap().0;
            let starting: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_file_that_others_may_touch_is_refused_with_the_cure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        RootKey::from_file_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o602, 0o660, 0o644] {
            set_mode(&path, mode);
            let refused = RootKey::from_file_or_create(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("(mode {mode:04o})")), "{refused}");
            assert!(
                refused.contains(&format!("chmod 600 '{}'", path.display())),
                "{refused}"
            );
        }
        set_mode(&path, 0o400);
        assert!(RootKey::from_file_or_create(&path).is_ok());
    }

    #[test]
    fn a_file_with_something_else_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        for content in ["", "AAAA", &"A".repeat(1_000)] {
            fs::write(&path, content).unwrap();
            set_mode(&path, 0o600);
            let refused = RootKey::from_file_or_create(&path).unwrap_err();
            assert!(matches!(refused, RootKeyError::NotARootKey { .. }), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no").join("root.key");
        let refused = RootKey::from_file_or_create(&path).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("root key file `{}` cannot be created", path.display())
        );
    }

    #[test]
    fn both_alphabets_are_read_and_nothing_but_32_bytes() {
        let standard = STANDARD.encode([0xfb; 32]);
        let url_safe = URL_SAFE.encode([0xfb; 32]);
        assert_ne!(standard, url_safe);
        for text in [
            &standard,
            &url_safe,
            &format!(" {standard}\n"),
            standard.trim_end_matches('='),
        ] {
            assert_eq!(*RootKey::from_base64(text).unwrap().0, [0xfb; 32]);
        }
        let cases = [
            STANDARD.encode([1; 31]),
            STANDARD.encode([1; 33]),
            String::new(),
            "a b".to_owned(),
        ];
        for text in cases {
            assert_eq!(RootKey::from_base64(&text).unwrap_err(), NotARootKey);
        }
    }

    #[test]
    fn debug_and_errors_print_nothing_of_a_key() {
        let text = STANDARD.encode([0xab; 32]);
        assert_eq!(
            format!("{:?}", RootKey::from_base64(&text).unwrap()),
            "RootKey(..)"
        );
        let refused = RootKey::from_base64(&format!("{text}AAAA")).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("q6ur"));
    }
}
