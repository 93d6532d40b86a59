//! `curfew restore`: a data directory is made of a copy of one.
//!
//! Whatever was ended after the copy was made is not in it, so nothing of it is renewed: the floor is now. The copy is
//! another history with a log of its own, so that no guard and no token takes it for the one that it was made of.
//!
//! **Invariant:** the directory appears whole, under its name, or not at all; nothing that is there is overwritten.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use curfew_authority::{Authority, Parts};
use curfew_clock::SystemClock;
use curfew_embedded::{Embedded, Options};
use curfew_keys::{SealingVault, SystemEntropy};

use crate::cli::Failure;
use crate::commands::fault::Fault;
use crate::commands::{print, time};
use crate::config::{self, Config, ConfigArgs, RootKeySource};

/// What an engine keeps in its directory, and the lock that says whether somebody has it.
const ENGINE: &str = "curfew.redb";
const LOCK: &str = "lock";

/// Makes a data directory of a copy.
#[derive(Args, Clone, Debug)]
pub(crate) struct Restore {
    /// The copy: a data directory that was copied while no node had it.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    node: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(args: Restore) -> Result<(), Failure> {
    let config = config::load(&args.node, &[])?;
    if config.shared.is_some() {
        let what = "the settings name servers that nodes share, and this makes the directory of one node";
        let fix = "restore Redis by its own means; `curfew admin partitions` says what is to be done then";
        return Err(Fault::usage(what).fix(fix).into());
    }
    let data = &config.data;
    must_be_free(data)?;
    let staged = staged(data)?;
    if staged.exists() {
        // What a restore that was interrupted left; nobody has ever served it.
        fs::remove_dir_all(&staged)?;
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&staged)?;
    let opened = fill(&args.from, &staged, &config).await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            fs::remove_dir_all(&staged)?;
            return Err(error);
        }
    };
    if data.exists() {
        // It is empty.
        fs::remove_dir(data)?;
    }
    fs::rename(&staged, data)?;
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    tell(&args, data, opened)
}

fn tell(args: &Restore, data: &Path, opened: curfew_authority::Opened) -> Result<(), Failure> {
    let floor = time::iso(opened.floor.as_unix_ms());
    if args.json {
        return print::json(&serde_json::json!({
            "data": data.display().to_string(),
            "floor": floor,
            "partitions": opened.partitions.len(),
            "revocations": opened.revocations,
        }));
    }
    print::text(&print::fields([
        ("restored", data.display().to_string()),
        ("floor", floor),
        ("partitions", opened.partitions.len().to_string()),
        ("records for guards", opened.revocations.to_string()),
        ("next", format!("curfew serve --data {}", data.display())),
    ]))
}

/// A directory that holds anything is somebody's.
fn must_be_free(data: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Fault::usage(format!("{}: {error}", data.display())).into()),
    };
    if is_free {
        return Ok(());
    }
    let what = format!(
        "{} is not empty, and nothing in it is overwritten",
        data.display()
    );
    Err(Fault::usage(what)
        .fix("move it away, or name another `--data`")
        .into())
}

/// Beside the directory, so that a rename puts it there.
fn staged(data: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = data.file_name() else {
        return Err(Fault::usage(format!("{} has no name of its own", data.display())).into());
    };
    let mut staged = name.to_owned();
    staged.push(".restoring");
    Ok(data.with_file_name(staged))
}

async fn fill(from: &Path, staged: &Path, config: &Config) -> Result<curfew_authority::Opened, Failure> {
    must_be_still(from)?;
    copy(&from.join(ENGINE), &staged.join(ENGINE))?;
    let root_key = match &config.root_key {
        // It lies in the data directory, unless a setting says otherwise.
        RootKeySource::FileOrNew(file) => match file.strip_prefix(&config.data) {
            Ok(name) => {
                copy(&from.join(name), &staged.join(name))?;
                RootKeySource::File(staged.join(name))
            }
            Err(_) => RootKeySource::File(file.clone()),
        },
        source @ (RootKeySource::File(_) | RootKeySource::Given(_)) => source.clone(),
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let options = Options {
        new_history: true,
        ..Options::new(clock.clone(), entropy.clone())
    };
    let engine = Embedded::open(staged, options)?;
    let identity = engine.log_identity();
    let parts = Parts {
        store: Arc::new(engine.clone()),
        log: Arc::new(engine),
        vault: Arc::new(SealingVault::new(&*root_key.key()?)?),
        clock,
        entropy,
    };
    let settings = curfew_authority::Config::embedded(&config.base_url(), "restore");
    let authority = Authority::new(parts, settings, identity);
    let opened = authority.open_restored("curfew restore".into()).await;
    let opened = opened.map_err(|refusal| refusal.to_string())?;
    let read = authority.poll_directory().await;
    read.map_err(|refusal| refusal.to_string())?;
    if authority.directory().loaded().ring.is_sealed_otherwise() {
        return Err(
            Fault::usage("the root key is not the one that the copy was sealed under")
                .fix(
                    "copy the whole directory, its root key with it, or set CURFEW_KEYS_ROOT_KEY to that key",
                )
                .into(),
        );
    }
    Ok(opened)
}

/// A directory that a node has is no copy: it is written while it is read.
fn must_be_still(from: &Path) -> Result<(), Failure> {
    let engine = from.join(ENGINE);
    if !engine.is_file() {
        let what = format!(
            "{} is no data directory: there is no {ENGINE} in it",
            from.display()
        );
        return Err(Fault::usage(what).into());
    }
    match File::open(from.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(_) => {
                let what = format!("a node is running on {}, which is no copy then", from.display());
                Err(Fault::usage(what)
                    .fix("stop it, copy the directory, and restore the copy")
                    .into())
            }
        },
    }
}

/// A private copy, on the disk when this returns.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let told = |what: &Path| {
        let what = what.display().to_string();
        move |error: io::Error| Failure::from(Fault::usage(format!("{what}: {error}")))
    };
    let mut source = File::open(from).map_err(told(from))?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(told(to))?;
    io::copy(&mut source, &mut target).map_err(told(to))?;
    target.sync_all().map_err(told(to))?;
    Ok(())
}
