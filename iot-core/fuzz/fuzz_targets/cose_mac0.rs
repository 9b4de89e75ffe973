#![no_main]
iot_core_fuzz::target!(cose_mac0);
