//! Compresses the page and GraphiQL. A published crate contains GraphiQL in the folder `packaged`, which
//! `scripts/package` adds. In a clone of the repository, npm fetches GraphiQL, and its digests are verified. If both
//! are missing, the page is built without GraphiQL.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// A package of the npm registry.
struct Package {
    /// Name and version.
    name: &'static str,
    /// The `integrity` value that npm prints.
    digest: &'static str,
    /// The required files of the package, each with its name among the explorer's assets.
    files: &'static [(&'static str, &'static str)],
}

/// The name and the content of an asset.
type NamedFile = (&'static str, Vec<u8>);

/// The folder of a published crate that holds the files of all packages.
const PACKAGED: &str = "packaged";

/// The environment variable with the program that fetches packages, for tests. The default is `npm`.
const NPM_VARIABLE: &str = "SYMBOLON_EXPLORER_NPM";

const PACKAGES: [Package; 3] = [
    Package {
        name: "react@18.3.1",
        digest: "sha512-wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ==",
        files: &[
            ("umd/react.production.min.js", "react-18.3.1.js"),
            ("LICENSE", "react-18.3.1.license.txt"),
        ],
    },
    Package {
        name: "react-dom@18.3.1",
        digest: "sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw==",
        files: &[
            ("umd/react-dom.production.min.js", "react-dom-18.3.1.js"),
            ("LICENSE", "react-dom-18.3.1.license.txt"),
        ],
    },
    Package {
        name: "graphiql@4.1.2",
        digest: "sha512-rNlzQIAzm6i2KBXmVQWBgLvt0TloxFVB2d18bukvdsvjEuFDHsKx5IVOomL1W1o5WW+tE54+ioHb2AEKzO2cUg==",
        files: &[
            ("graphiql.min.js", "graphiql-4.1.2.js"),
            ("graphiql.min.css", "graphiql-4.1.2.css"),
            ("LICENSE", "graphiql-4.1.2.license.txt"),
        ],
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=page");
    println!("cargo::rerun-if-env-changed={NPM_VARIABLE}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut assets = String::new();
    let fetched = read_packaged().unwrap_or_else(|| fetch_all(&out));
    if let Err(error) = &fetched {
        println!(
            "cargo::warning=the explorer is built without GraphiQL, because npm failed: {error}"
        );
    }
    for (name, bytes) in fetched.iter().flatten() {
        pack(&out, &mut assets, name, bytes)?;
    }

    // The names of the page's own files contain a hash of the content of all of them, so that browsers can cache the files
    // without a time limit. The files refer to one another by these names.
    let mut page = fs::read_to_string("page/page.html")?;
    let mut own = BTreeMap::new();
    for entry in fs::read_dir("page")? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| "a name is not UTF-8")?;
        if name != "page.html" {
            own.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    let mut content = DefaultHasher::new();
    own.hash(&mut content);
    let hash = content.finish();
    let hashed = |name: &str| name.replacen('.', &format!("-{hash:016x}."), 1);
    for (name, text) in &own {
        let mut text = text.clone();
        for name in own.keys() {
            text = text.replace(&format!("'./{name}'"), &format!("'./{}'", hashed(name)));
        }
        page = page.replace(
            &format!("explorer/{name}"),
            &format!("explorer/{}", hashed(name)),
        );
        pack(&out, &mut assets, &hashed(name), text.as_bytes())?;
    }
    let (with, without) = ("<!-- with GraphiQL -->", "<!-- without GraphiQL -->");
    let dropped = if fetched.is_ok() { without } else { with };
    let lines = page.lines().filter(|line| !line.contains(dropped));
    let page = lines
        .map(|line| line.replace(with, "").replace(without, ""))
        .fold(String::new(), |page, line| page + line.trim_end() + "\n");
    fs::write(out.join("page.html"), page)?;
    fs::write(out.join("assets.rs"), format!("&[\n{assets}]\n"))?;
    Ok(())
}

/// Reads the files that a published crate contains. Returns `None` in a clone.
fn read_packaged() -> Option<Result<Vec<NamedFile>, Box<dyn Error>>> {
    let folder = Path::new(PACKAGED);
    let names = PACKAGES.iter().flat_map(|package| package.files);
    let read = |(_, name): &(&str, &'static str)| Ok((*name, fs::read(folder.join(name))?));
    folder.is_dir().then(|| names.map(read).collect())
}

/// Fetches the files of all packages, and keeps them in `OUT_DIR/packaged` for `scripts/package`.
fn fetch_all(out: &Path) -> Result<Vec<NamedFile>, Box<dyn Error>> {
    let mut files = Vec::new();
    for package in PACKAGES {
        let archive = fetch(out, package.name, package.digest)?;
        for (path, name) in package.files {
            files.push((*name, read(&archive, path)?));
        }
    }
    let folder = out.join(PACKAGED);
    fs::create_dir_all(&folder)?;
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(files)
}

/// Returns the archive of a package. Fetches it unless an earlier build has fetched it.
fn fetch(out: &Path, package: &str, digest: &str) -> Result<PathBuf, Box<dyn Error>> {
    let archive = out.join(format!("{}.tgz", package.replace('@', "-")));
    if archive.exists() {
        return Ok(archive);
    }
    let npm = std::env::var_os(NPM_VARIABLE).unwrap_or_else(|| "npm".into());
    let output = Command::new(npm)
        .args([
            "pack",
            package,
            "--json",
            "--fetch-retries=1",
            "--fetch-timeout=60000",
        ])
        .current_dir(out)
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let line = error
            .lines()
            .find(|line| !line.contains("warn"))
            .unwrap_or("npm failed");
        return Err(line.trim().into());
    }
    if !report.contains(digest) {
        fs::remove_file(&archive)?;
        return Err(format!("{package} does not have the expected digest").into());
    }
    Ok(archive)
}

fn read(archive: &Path, path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new("package").join(path) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    Err(format!("{path} is not in its package").into())
}

/// Compresses a file and adds it to the list of assets.
fn pack(out: &Path, assets: &mut String, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    fs::write(out.join(name), encoder.finish()?)?;
    let media_type = match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    writeln!(
        assets,
        "Asset {{ name: {name:?}, media_type: {media_type:?}, \
         gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/\", {name:?})) }},"
    )?;
    Ok(())
}
