//! The DMTF schemas in use, with their versions. Those of collections have no version.

pub(super) const ACCOUNT_SERVICE: &str = "AccountService.v1_18_1";
pub(super) const CERTIFICATE: &str = "Certificate.v1_11_0";
pub(super) const CERTIFICATE_COLLECTION: &str = "CertificateCollection";
pub(super) const CERTIFICATE_LOCATIONS: &str = "CertificateLocations.v1_0_4";
pub(super) const CERTIFICATE_SERVICE: &str = "CertificateService.v1_2_1";
pub(super) const CHASSIS: &str = "Chassis.v1_28_0";
pub(super) const CHASSIS_COLLECTION: &str = "ChassisCollection";
pub(super) const COMPUTER_SYSTEM: &str = "ComputerSystem.v1_27_0";
pub(super) const COMPUTER_SYSTEM_COLLECTION: &str = "ComputerSystemCollection";
pub(super) const DRIVE: &str = "Drive.v1_22_0";
pub(super) const DRIVE_COLLECTION: &str = "DriveCollection";
pub(super) const ENVIRONMENT_METRICS: &str = "EnvironmentMetrics.v1_5_0";
pub(super) const ETHERNET_INTERFACE: &str = "EthernetInterface.v1_12_4";
pub(super) const ETHERNET_INTERFACE_COLLECTION: &str = "EthernetInterfaceCollection";
pub(super) const EVENT_DESTINATION: &str = "EventDestination.v1_16_0";
pub(super) const EVENT_DESTINATION_COLLECTION: &str = "EventDestinationCollection";
pub(super) const EVENT_SERVICE: &str = "EventService.v1_12_0";
pub(super) const LOG_ENTRY: &str = "LogEntry.v1_21_0";
pub(super) const LOG_ENTRY_COLLECTION: &str = "LogEntryCollection";
pub(super) const LOG_SERVICE: &str = "LogService.v1_9_0";
pub(super) const LOG_SERVICE_COLLECTION: &str = "LogServiceCollection";
pub(super) const MANAGER: &str = "Manager.v1_24_0";
pub(super) const MANAGER_ACCOUNT: &str = "ManagerAccount.v1_14_1";
pub(super) const MANAGER_ACCOUNT_COLLECTION: &str = "ManagerAccountCollection";
pub(super) const MANAGER_COLLECTION: &str = "ManagerCollection";
pub(super) const MANAGER_NETWORK_PROTOCOL: &str = "ManagerNetworkProtocol.v1_12_0";
pub(super) const MEMORY: &str = "Memory.v1_23_0";
pub(super) const MEMORY_COLLECTION: &str = "MemoryCollection";
pub(super) const MESSAGE_REGISTRY: &str = "MessageRegistry.v1_6_3";
pub(super) const MESSAGE_REGISTRY_FILE: &str = "MessageRegistryFile.v1_1_5";
pub(super) const MESSAGE_REGISTRY_FILE_COLLECTION: &str = "MessageRegistryFileCollection";
pub(super) const OUTLET: &str = "Outlet.v1_4_4";
pub(super) const OUTLET_COLLECTION: &str = "OutletCollection";
pub(super) const POWER: &str = "Power.v1_7_3";
pub(super) const POWER_DISTRIBUTION: &str = "PowerDistribution.v1_6_0";
pub(super) const POWER_DISTRIBUTION_COLLECTION: &str = "PowerDistributionCollection";
pub(super) const POWER_EQUIPMENT: &str = "PowerEquipment.v1_2_3";
pub(super) const POWER_SUBSYSTEM: &str = "PowerSubsystem.v1_1_3";
pub(super) const POWER_SUPPLY: &str = "PowerSupply.v1_6_0";
pub(super) const POWER_SUPPLY_COLLECTION: &str = "PowerSupplyCollection";
pub(super) const POWER_SUPPLY_METRICS: &str = "PowerSupplyMetrics.v1_2_0";
pub(super) const PROCESSOR: &str = "Processor.v1_22_0";
pub(super) const PROCESSOR_COLLECTION: &str = "ProcessorCollection";
pub(super) const ROLE: &str = "Role.v1_3_3";
pub(super) const ROLE_COLLECTION: &str = "RoleCollection";
pub(super) const SENSOR: &str = "Sensor.v1_12_0";
pub(super) const SENSOR_COLLECTION: &str = "SensorCollection";
pub(super) const SERVICE_ROOT: &str = "ServiceRoot.v1_20_0";
pub(super) const SESSION: &str = "Session.v1_8_0";
pub(super) const SESSION_COLLECTION: &str = "SessionCollection";
pub(super) const SESSION_SERVICE: &str = "SessionService.v1_2_0";
pub(super) const SIMPLE_STORAGE: &str = "SimpleStorage.v1_3_2";
pub(super) const SIMPLE_STORAGE_COLLECTION: &str = "SimpleStorageCollection";
pub(super) const SOFTWARE_INVENTORY: &str = "SoftwareInventory.v1_13_0";
pub(super) const SOFTWARE_INVENTORY_COLLECTION: &str = "SoftwareInventoryCollection";
pub(super) const TASK_COLLECTION: &str = "TaskCollection";
pub(super) const TASK_SERVICE: &str = "TaskService.v1_3_0";
pub(super) const UPDATE_SERVICE: &str = "UpdateService.v1_17_0";

/// The name of a schema without its version.
pub(super) fn name(schema: &str) -> &str {
    schema.split('.').next().unwrap_or(schema)
}
