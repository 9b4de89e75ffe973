#![no_main]
iot_core_fuzz::target!(cose_sign1);
