//! What a setting is where a section does not name it.

use super::super::spanned::Spanned;
use super::super::units::{MebiBytes, Seconds};
use super::super::values::{Billing, Encryption};
use super::Consumer;

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

pub(super) fn one_day() -> Spanned<Seconds> {
    spanned(Seconds(86_400))
}

pub(super) fn four_days() -> Spanned<Seconds> {
    spanned(Seconds(4 * 86_400))
}

pub(super) fn two_weeks() -> Spanned<Seconds> {
    spanned(Seconds(14 * 86_400))
}

pub(super) fn thirty_days() -> Spanned<Seconds> {
    spanned(Seconds(30 * 86_400))
}

pub(super) fn half_a_minute() -> Spanned<Seconds> {
    spanned(Seconds(30))
}

pub(super) fn one_minute() -> Spanned<Seconds> {
    spanned(Seconds(60))
}

pub(super) fn no_time() -> Spanned<Seconds> {
    spanned(Seconds(0))
}

pub(super) fn default_memory() -> Spanned<i64> {
    spanned(256)
}

pub(super) fn shared() -> Spanned<Consumer> {
    spanned(Consumer::Shared)
}

pub(super) fn one_hundred() -> Spanned<i64> {
    spanned(100)
}

pub(super) fn one() -> Spanned<i64> {
    spanned(1)
}

pub(super) fn unlimited() -> Spanned<i64> {
    spanned(-1)
}

pub(super) fn on_demand() -> Spanned<Billing> {
    spanned(Billing::OnDemand)
}

pub(super) fn aws_managed() -> Encryption {
    Encryption::AwsManaged
}

pub(super) fn one_mebibyte() -> Spanned<MebiBytes> {
    spanned(MebiBytes(1))
}

pub(super) fn yes() -> bool {
    true
}
