//! Which files of a package load which, and where the other modules come from, as far as the files
//! say so plainly.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::domain::artifact::Facts;
use crate::domain::review::path;
use crate::domain::review::survey::{Survey, SurveyedFile};

/// Modules that Node brings along.
const NODE: &str = "assert async_hooks buffer child_process cluster console constants crypto dgram \
    diagnostics_channel dns domain events fs http http2 https inspector module net os path \
    perf_hooks process punycode querystring readline repl sqlite sea stream string_decoder sys \
    test timers tls trace_events tty url util v8 vm wasi worker_threads zlib";

/// Modules that Python brings along, or brought along once.
const PYTHON: &str = "BaseHTTPServer ConfigParser Cookie HTMLParser Queue SimpleHTTPServer SocketServer StringIO \
    Tkinter UserDict __builtin__ __future__ __main__ _collections_abc _socket _ssl _thread \
    _typeshed _winapi _winreg abc aifc annotationlib antigravity anydbm argparse array ast \
    asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins bz2 cPickle \
    cProfile cStringIO calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys \
    commands compileall compression concurrent configparser contextlib contextvars cookielib copy \
    copy_reg copyreg crypt csv ctypes curses dataclasses datetime dbhash dbm decimal difflib dis \
    distutils doctest dumbdbm dummy_thread dummy_threading email encodings ensurepip enum errno \
    exceptions faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc gdbm \
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html \
    htmlentitydefs http httplib idlelib imaplib imghdr imp importlib inspect io ipaddress \
    itertools java json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math \
    md5 mimetools mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc new nis nntplib \
    nt ntpath nturl2path numbers opcode operator optparse org os ossaudiodev pathlib pdb pickle \
    pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile profiling \
    pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline repr \
    reprlib resource rfc822 rlcompleter robotparser runpy sched secrets select selectors sets sha \
    shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 \
    sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess \
    sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap \
    this thread threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc \
    tty turtle turtledemo types typing unicodedata unittest urllib urllib2 urlparse uu uuid venv \
    warnings wave weakref webbrowser whichdb winreg winsound wsgiref xdrlib xml xmlrpc xmlrpclib \
    zipapp zipfile zipimport zlib zoneinfo";

/// Modules whose project has a name of its own: module, and what the project's name contains.
const OTHERWISE_NAMED: [(&str, &str); 12] = [
    ("bs4", "beautifulsoup"),
    ("cv2", "opencv"),
    ("sklearn", "scikit-learn"),
    ("skimage", "scikit-image"),
    ("google", "proto"),
    ("google", "google"),
    ("pkg_resources", "setuptools"),
    ("_distutils_hack", "setuptools"),
    ("win32", "pywin32"),
    ("pythoncom", "pywin32"),
    ("docx", "python-docx"),
    ("mpl_toolkits", "matplotlib"),
];

/// Scripts that npm runs where a package is installed.
pub const AT_INSTALL: [&str; 3] = ["preinstall", "install", "postinstall"];

/// Folders whose files are not loaded by those who install the package.
const ASIDE: [&str; 14] = [
    "test",
    "tests",
    "__tests__",
    "testing",
    "spec",
    "example",
    "examples",
    "doc",
    "docs",
    "bench",
    "benchmark",
    "benchmarks",
    "demo",
    "fixtures",
];

/// The part of an import that names a package, when it is one of somebody else's: `@scope/name`,
/// `name`.
pub fn npm_package(module: &str) -> Option<&str> {
    let strange = |c: char| c.is_whitespace() || "#:!?*{}$\\".contains(c);
    if module.is_empty() || module.starts_with(['.', '/']) || module.contains(strange) {
        return None;
    }
    let parts = if module.starts_with('@') { 2 } else { 1 };
    let end = module.match_indices('/').nth(parts - 1).map_or(module.len(), |(at, _)| at);
    let name = &module[..end];
    let builtin = NODE.split_ascii_whitespace().any(|builtin| builtin == name);
    (!builtin).then_some(name)
}

/// The top module of an import, when Python does not bring it along.
pub fn python_module(module: &str) -> Option<&str> {
    let top = module.split('.').next().filter(|top| !top.is_empty())?;
    let builtin = PYTHON.split_ascii_whitespace().any(|builtin| builtin == top);
    (!builtin && !top.starts_with('_')).then_some(top)
}

/// Whether a Python project of this name, normalised, may well bring this module.
pub fn may_bring(project: &str, module: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (project_plain, module_plain) = (plain(project), plain(module));
    project_plain.contains(&module_plain)
        || module_plain.contains(&project_plain)
        || OTHERWISE_NAMED
            .iter()
            .any(|(known, named)| module.starts_with(known) && project.contains(named))
}

/// The words of a command line, without the signs between commands.
pub fn words(command: &str) -> impl Iterator<Item = &str> {
    let separator = |c: char| c.is_whitespace() || "'\"`();&|".contains(c);
    command.split(separator).filter(|word| !word.is_empty())
}

/// Whether a file lies where tests, examples and documentation lie.
pub fn is_aside(place: &str) -> bool {
    let mut parts = place.split('/').rev();
    let name = parts.next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let is_test = name.contains(".test.") || name.contains(".spec.") || stem == "conftest";
    is_test || stem.starts_with("test_") || parts.any(|part| ASIDE.contains(&part))
}

/// The file that an import of a file means; relative imports of npm packages only.
pub fn resolve<'a>(survey: &'a Survey, from: &str, module: &str) -> Option<&'a SurveyedFile> {
    if !module.starts_with('.') {
        return None;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    file_at(survey, &path::resolve(folder, module)?)
}

/// The file that Node finds under a path: itself, with an ending, or as the index of a folder.
pub fn file_at<'a>(survey: &'a Survey, path: &str) -> Option<&'a SurveyedFile> {
    const ENDINGS: [&str; 11] = [
        "",
        ".js",
        ".mjs",
        ".cjs",
        ".json",
        ".node",
        ".ts",
        "/index.js",
        "/index.mjs",
        "/index.cjs",
        "/index.ts",
    ];
    let path = path.trim_start_matches("./").trim_end_matches('/');
    ENDINGS.iter().find_map(|ending| survey.at(format!("{path}{ending}").trim_start_matches('/')))
}

/// These files and all they load, directly or not.
pub fn loaded_by<'a>(
    survey: &'a Survey,
    starts: impl IntoIterator<Item = &'a SurveyedFile>,
) -> BTreeSet<&'a str> {
    let mut waiting: VecDeque<&SurveyedFile> = starts.into_iter().collect();
    let mut loaded = BTreeSet::new();
    while let Some(file) = waiting.pop_front() {
        if !loaded.insert(file.place.as_str()) {
            continue;
        }
        let imports = file.code.iter().flat_map(|code| &code.imports);
        waiting.extend(imports.filter_map(|import| resolve(survey, &file.place, &import.module)));
    }
    loaded
}

/// Places of the files that run when somebody loads the package or calls its commands. Where the
/// package does not say plainly, every file that is not set aside.
pub fn on_import_path(survey: &Survey) -> BTreeSet<&str> {
    let named = match &survey.facts {
        Facts::Npm(facts) => {
            let mut paths = Vec::new();
            for key in ["main", "module", "browser", "exports", "bin"] {
                texts(facts.package_json.get(key), &mut paths);
            }
            paths.push("index.js");
            // A pattern stands for files that nobody lists.
            let plain = !paths.iter().any(|path| path.contains('*'));
            let starts = paths.iter().filter_map(|path| file_at(survey, path));
            if plain { loaded_by(survey, starts) } else { BTreeSet::new() }
        }
        Facts::Pypi(_) => BTreeSet::new(),
    };
    if named.is_empty() {
        let all = survey.files.iter().map(|file| file.place.as_str());
        return all.filter(|place| !is_aside(place)).collect();
    }
    named
}

/// Every text in a value, however deep.
fn texts<'a>(value: Option<&'a Value>, into: &mut Vec<&'a str>) {
    match value {
        Some(Value::String(text)) => into.push(text),
        Some(Value::Array(items)) => items.iter().for_each(|item| texts(Some(item), into)),
        Some(Value::Object(members)) => {
            members.values().for_each(|member| texts(Some(member), into));
        }
        _ => {}
    }
}

/// Where an installer puts a file of a wheel, below `site-packages`; `None` when elsewhere.
pub fn in_site_packages(place: &str) -> Option<&str> {
    let Some(rest) = place.strip_prefix("*.data/") else {
        return (!place.starts_with("*.")).then_some(place);
    };
    let (scheme, path) = rest.split_once('/')?;
    match scheme {
        "purelib" | "platlib" => Some(path),
        // Below the environment itself: `lib/python3.12/site-packages/…` is there, and what Debian
        // has in its place, whatever the letters where file systems do not tell them apart.
        "data" => {
            let folded = path.to_ascii_lowercase();
            let end_of = |folder: &str| folded.find(folder).map(|at| at + folder.len());
            let ends = ["/site-packages/", "/dist-packages/"].iter().filter_map(|it| end_of(it));
            ends.min().and_then(|end| path.get(end..))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_name_packages_of_others_or_nothing() {
        let cases = [
            ("lodash/fp", Some("lodash")),
            ("@scope/name/sub", Some("@scope/name")),
            ("@scope/name", Some("@scope/name")),
            ("./own", None),
            ("#internal", None),
            ("node:fs", None),
            ("fs/promises", None),
            ("https://x.example/a.js", None),
        ];
        for (module, package) in cases {
            assert_eq!(npm_package(module), package, "{module}");
        }
        let cases = [
            ("requests.adapters", Some("requests")),
            ("os.path", None),
            (".own", None),
            ("", None),
        ];
        for (module, top) in cases {
            assert_eq!(python_module(module), top, "{module}");
        }
    }

    #[test]
    fn a_project_brings_modules_that_are_called_like_it() {
        for (project, module) in [
            ("pyyaml", "yaml"),
            ("python-dateutil", "dateutil"),
            ("beautifulsoup4", "bs4"),
            ("typing-extensions", "typing_extensions"),
        ] {
            assert!(may_bring(project, module), "{project} {module}");
        }
        assert!(!may_bring("requests", "urllib3"));
    }

    #[test]
    fn files_of_a_wheel_land_in_site_packages_by_four_ways() {
        for place in [
            "a.pth",
            "*.data/purelib/a.pth",
            "*.data/platlib/a.pth",
            "*.data/data/lib/python3.12/site-packages/a.pth",
        ] {
            assert_eq!(in_site_packages(place), Some("a.pth"), "{place}");
        }
        for place in ["*.data/scripts/a.pth", "*.dist-info/a.pth", "*.data/data/share/a.pth"] {
            assert_eq!(in_site_packages(place), None, "{place}");
        }
    }
}
