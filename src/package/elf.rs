//! Checks that a program can run on Lambda: its format, its processor, and how new a glibc it asks for.

use elf::abi::{EM_AARCH64, EM_X86_64, SHT_GNU_VERNEED, VER_FLG_WEAK};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::gnu_symver::VerNeedIterator;
use elf::{ElfBytes, ParseError};

use super::Architecture;

/// The glibc of `provided.al2023`.
///
/// See <https://docs.aws.amazon.com/linux/al2023/ug/glibc.html>.
const GLIBC: Version = Version(2, 34);

type Program<'a> = ElfBytes<'a, LittleEndian>;

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
    let format = |error: ParseError| Misfit::Format(error.to_string());
    let program = Program::minimal_parse(program).map_err(format)?;
    if program.ehdr.class != Class::ELF64 {
        return Err(Misfit::Format("it has 32 bits".to_owned()));
    }
    let machine = match architecture {
        Architecture::X86_64 => EM_X86_64,
        Architecture::Arm64 => EM_AARCH64,
    };
    if program.ehdr.e_machine != machine {
        return Err(Misfit::Machine(architecture.name()));
    }
    match newest_glibc(&program).map_err(format)? {
        Some((Version(major, minor), symbol)) if Version(major, minor) > GLIBC => {
            Err(Misfit::Glibc { needed: (major, minor), symbol })
        }
        _ => Ok(()),
    }
}

/// Returns the newest glibc version that the program asks for, with a symbol that asks for it.
fn newest_glibc(program: &Program<'_>) -> Result<Option<(Version, String)>, ParseError> {
    let sections = program.section_headers();
    let needs = sections.and_then(|sections| sections.iter().find(|section| section.sh_type == SHT_GNU_VERNEED));
    // No such section: linked statically, or against another C library.
    let (Some(sections), Some(needs)) = (sections, needs) else { return Ok(None) };
    let strings = program.section_data_as_strtab(&sections.get(usize::try_from(needs.sh_link)?)?)?;
    let (data, _) = program.section_data(&needs)?;
    let files = VerNeedIterator::new(LittleEndian, Class::ELF64, needs.sh_info.into(), 0, data);
    let mut newest: Option<(Version, &str)> = None;
    // The loader goes on without a version that only weak symbols want.
    for version in files.flat_map(|(_, versions)| versions).filter(|version| version.vna_flags & VER_FLG_WEAK == 0) {
        let name = strings.get(usize::try_from(version.vna_name)?)?;
        let Some(needed) = glibc(name) else { continue };
        if newest.is_none_or(|(newest, _)| needed > newest) {
            newest = Some((needed, name));
        }
    }
    let Some((version, name)) = newest else { return Ok(None) };
    let symbol = symbol_of(program, name)?;
    Ok(Some((version, symbol.unwrap_or(name).to_owned())))
}

/// A symbol that is asked for in this version.
fn symbol_of<'a>(program: &Program<'a>, version: &str) -> Result<Option<&'a str>, ParseError> {
    let (Some((symbols, names)), Some(versions)) = (program.dynamic_symbol_table()?, program.symbol_version_table()?)
    else {
        return Ok(None);
    };
    for (place, symbol) in symbols.iter().enumerate() {
        if versions.get_requirement(place)?.is_some_and(|needed| needed.name == version) {
            return names.get(usize::try_from(symbol.st_name)?).map(Some);
        }
    }
    Ok(None)
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
