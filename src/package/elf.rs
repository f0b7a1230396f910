//! Checks that a program can run on Lambda: its format, its processor, and how new a glibc it asks for.

use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, VER_FLG_WEAK};
use object::read::elf::{FileHeader as _, SectionTable, Sym as _};
use object::{LittleEndian, SymbolIndex};

use super::Architecture;

/// The glibc of `provided.al2023`.
///
/// See <https://docs.aws.amazon.com/linux/al2023/ug/glibc.html>.
const GLIBC: Version = Version(2, 34);

type Header = FileHeader64<LittleEndian>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// Why a program cannot run on Lambda.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("the handler is not a 64-bit Linux program: {0}")]
    Format(String),
    #[error("the handler was built for another processor than {0}")]
    Machine(&'static str),
    #[error(
        "the handler needs glibc {}.{} (for {symbol}), Lambda's provided.al2023 has {}.{}",
        .needed.0, .needed.1, GLIBC.0, GLIBC.1
    )]
    Glibc { needed: (u32, u32), symbol: String },
}

/// Checks a program for `provided.al2023` on `architecture`.
pub(super) fn check(program: &[u8], architecture: Architecture) -> Result<(), Misfit> {
    let format = |error: object::Error| Misfit::Format(error.to_string());
    let header = Header::parse(program).map_err(format)?;
    let endian = header.endian().map_err(format)?;
    let machine = match architecture {
        Architecture::X86_64 => EM_X86_64,
        Architecture::Arm64 => EM_AARCH64,
    };
    if header.e_machine.get(endian) != machine {
        return Err(Misfit::Machine(architecture.name()));
    }
    let sections = header.sections(endian, program).map_err(format)?;
    match newest_glibc(endian, program, &sections).map_err(format)? {
        Some((Version(major, minor), symbol)) if Version(major, minor) > GLIBC => {
            Err(Misfit::Glibc { needed: (major, minor), symbol })
        }
        _ => Ok(()),
    }
}

/// Returns the newest glibc version that the program asks for, with a symbol that asks for it.
fn newest_glibc(
    endian: LittleEndian,
    program: &[u8],
    sections: &SectionTable<'_, Header>,
) -> object::Result<Option<(Version, String)>> {
    // No such section: linked statically, or against another C library.
    let Some((mut needs, link)) = sections.gnu_verneed(endian, program)? else { return Ok(None) };
    let strings = sections.strings(endian, program, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            // The loader goes on without a version that only weak symbols want.
            if version.vna_flags.get(endian).contains(VER_FLG_WEAK) {
                continue;
            }
            let name = std::str::from_utf8(version.name(endian, strings)?).unwrap_or_default();
            let Some(needed) = glibc(name) else { continue };
            if newest.as_ref().is_none_or(|(newest, _, _)| needed > *newest) {
                newest = Some((needed, name.to_owned(), version.vna_other(endian).index()));
            }
        }
    }
    let Some((version, name, index)) = newest else { return Ok(None) };
    let symbols = sections.symbols(endian, program, object::elf::SHT_DYNSYM)?;
    let versions = sections.gnu_versym(endian, program)?.map(|(versions, _)| versions).unwrap_or_default();
    for (place, symbol_version) in versions.iter().enumerate() {
        if symbol_version.0.get(endian).index() == index {
            let symbol = symbols.symbol(SymbolIndex(place))?.name(endian, symbols.strings())?;
            return Ok(Some((version, String::from_utf8_lossy(symbol).into_owned())));
        }
    }
    Ok(Some((version, name)))
}

/// Reads `GLIBC_2.34` or `GLIBC_2.2.5`.
fn glibc(name: &str) -> Option<Version> {
    // A mark instead of a symbol's version: relocations that glibc understands since 2.36.
    if name == "GLIBC_ABI_DT_RELR" {
        return Some(Version(2, 36));
    }
    let (major, rest) = name.strip_prefix("GLIBC_")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some(Version(major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_reads_versions_by_number() {
        assert_eq!(glibc("GLIBC_2.2.5"), Some(Version(2, 2)));
        assert_eq!(glibc("GLIBC_2.34"), Some(GLIBC));
        assert!(glibc("GLIBC_2.9").unwrap() < glibc("GLIBC_2.10").unwrap());
        assert!(glibc("GLIBC_ABI_DT_RELR").unwrap() > GLIBC);
        assert_eq!((glibc("GLIBC_PRIVATE"), glibc("GCC_3.0")), (None, None));
    }

    #[test]
    fn check_refuses_what_is_no_program() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x01\x01\x01", &[0; 4096]] {
            assert!(matches!(check(bytes, Architecture::X86_64), Err(Misfit::Format(_))));
        }
    }
}
