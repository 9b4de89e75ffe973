#![no_main]
iot_twin_fuzz::target!(dynamic);
