//! Kafka itself: the artifacts that its project publishes for Maven, fetched once.
//!
//! Beside them lies an archive of loaded classes: with it a broker starts for half of the processor time.
//! Java looks whether the archive fits it and the jars, and does without where it does not.
//!
//! **Invariant:** what lies in the cache is whole: it is made under another name, under a lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;
use crate::clock::Deadline;
use crate::error::Error;
use crate::program::MAVEN;

/// Pinned: a broker that changes by itself breaks tests by itself.
const VERSION: &str = "4.4.0";
/// What is fetched beside the version: another list needs another directory.
const RECIPE: &str = "4.4.0-2";
/// Seconds where it is near (44 MB); the rest is for a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// Pinned, as Kafka is.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// A directory full of jars.
#[derive(Clone, Debug)]
pub(crate) struct Jars {
    directory: PathBuf,
}

impl Jars {
    /// Those of the cache, fetched first where they are missing; `archive` makes the archive.
    pub(super) fn get(archive: impl FnOnce(&Self, &Path) -> Result<(), Error>) -> Result<Self, Error> {
        let cache = cache::directory("kafka")?;
        let jars = Self {
            directory: cache.join(RECIPE),
        };
        if jars.archive().is_file() {
            return Ok(jars);
        }
        let _lock = lock(&cache)?;
        // Somebody else may have done it while we waited.
        if !jars.directory.is_dir() {
            fetch(&cache, &jars.directory)?;
        }
        if !jars.archive().is_file() {
            let aside = jars.directory.join("classes.new");
            archive(&jars, &aside)?;
            fs::rename(&aside, jars.archive()).map_err(Error::file("rename", &aside))?;
        }
        Ok(jars)
    }

    /// What every `java` of ours begins with.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "-XX:+UseSerialGC".to_owned(),
            "-XX:TieredStopAtLevel=1".to_owned(),
            "-XX:-UsePerfData".to_owned(),
            "-cp".to_owned(),
            // Java itself looks for what is in it.
            self.directory.join(JARS).join("*").display().to_string(),
        ];
        if self.archive().is_file() {
            arguments.push(format!("-XX:SharedArchiveFile={}", self.archive().display()));
        }
        arguments
    }

    fn archive(&self) -> PathBuf {
        self.directory.join("classes.jsa")
    }
}

/// Whether nothing has to be fetched.
pub(crate) fn are_there() -> Result<bool, Error> {
    Ok(cache::directory("kafka")?.join(RECIPE).is_dir())
}

/// In the directory.
const JARS: &str = "jars";

/// Ours until it is dropped; the system lets go of it with the process.
fn lock(cache: &Path) -> Result<File, Error> {
    let path = cache.join(format!("{RECIPE}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    let deadline = Deadline::after(FETCH_LIMIT);
    while file.try_lock().is_err() {
        if !deadline.pause() {
            return Err(Error::Endless {
                command: "mvn, in another process".to_owned(),
                waited_s: FETCH_LIMIT.as_secs(),
            });
        }
    }
    Ok(file)
}

fn fetch(cache: &Path, to: &Path) -> Result<(), Error> {
    let aside = tempfile::tempdir_in(cache).map_err(Error::file("create a directory in", cache))?;
    let whole = aside.path().join("whole");
    fs::create_dir(&whole).map_err(Error::file("create", &whole))?;
    let pom = whole.join("pom.xml");
    fs::write(&pom, POM.replace("VERSION", VERSION)).map_err(Error::file("write", &pom))?;
    let jars = whole.join(JARS);
    let output = MAVEN.output(FETCH_LIMIT, |mvn| {
        mvn.args(["-q", "-B", "-f"]).arg(&pom).arg(COPY);
        mvn.arg(format!("-DoutputDirectory={}", jars.display()));
        mvn.arg("-DincludeScope=runtime");
    })?;
    if !output.status.success() {
        // Maven tells its errors on standard output.
        return Err(Error::Refused {
            command: "mvn".to_owned(),
            said: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        });
    }
    fs::rename(&whole, to).map_err(Error::file("rename", &whole))
}

/// The broker, its tools without what only Kafka Connect needs, and a log on standard error.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>curfew</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>VERSION</version>
      <exclusions>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>connect-runtime</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;
