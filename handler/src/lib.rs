//! The Lambda function of streamkit: reads a batch of stream records, carries out what a recipe says follows from
//! them, and tells Lambda which records to deliver again.

pub mod aws;
pub mod batch;
pub mod config;
pub mod dead_letter;
pub mod event;
pub mod report;
pub mod sink;
