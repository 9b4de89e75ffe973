#![no_main]
iot_core_fuzz::target!(component);
