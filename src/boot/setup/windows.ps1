# windows.ps1 - prepares the Windows on this disk to boot from it over iSCSI, and takes that back.
# Printed by netboot-target '@VERSION@' on '@SERVER@' for target '@IQN@'.
#
# usage: windows.ps1 [COMMAND]
#   install     starts the iSCSI initiator with the system; starts the drivers of all network cards at
#               boot; turns the page file, hibernation and fast start-up off. Before that the driver
#               of the other machine's network card has to be installed.
#   check       changes nothing; says what is there and what is missing; exit code 0: prepared
#   uninstall   puts back every setting as it was
#   connect     logs in to the target as a further disk of this running system, now and at every start
#   disconnect  logs out of it again
#
# It holds secrets: keep it as private as a password. Install keeps what it changes in the registry,
# and puts it back by itself when a step fails.

[CmdletBinding()]
param(
    [ValidateSet('install', 'check', 'uninstall', 'connect', 'disconnect')]
    [string] $Command = 'install'
)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$Server = '@SERVER@'
$Port = '@PORT@'
$Iqn = '@IQN@'
$Lun = '@LUN@'
$Initiator = '@INITIATOR@'
$ChapUser = '@CHAP_USER@'
$ChapSecret = '@CHAP_SECRET@'
$ChapTargetUser = '@CHAP_TARGET_USER@'
$ChapTargetSecret = '@CHAP_TARGET_SECRET@'

$StateKey = 'HKLM:\SOFTWARE\netboot-target\setup'
$ServicesKey = 'HKLM:\SYSTEM\CurrentControlSet\Services'
$PowerKey = 'HKLM:\SYSTEM\CurrentControlSet\Control\Power'
$FastStartKey = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Power'
$BootStart = 0
$script:Prepared = $true

# --- registry -------------------------------------------------------------------------------------

# $null where there is no such value.
function Get-Value([string] $Key, [string] $Name) {
    if (-not (Test-Path -LiteralPath $Key)) { return $null }
    $item = Get-Item -LiteralPath $Key
    return $item.GetValue($Name, $null)
}

function Set-Number([string] $Key, [string] $Name, $Value) {
    if ($null -eq $Value) {
        Remove-ItemProperty -LiteralPath $Key -Name $Name -ErrorAction SilentlyContinue
    } else {
        Set-ItemProperty -LiteralPath $Key -Name $Name -Value ([int] $Value) -Type DWord
    }
}

function Read-State {
    $text = Get-Value $StateKey 'State'
    if ($null -eq $text) { return $null }
    return ConvertFrom-Json $text
}

function Write-State($State) {
    New-Item -Path $StateKey -Force | Out-Null
    $text = ConvertTo-Json $State -Depth 4 -Compress
    Set-ItemProperty -LiteralPath $StateKey -Name 'State' -Value $text -Type String
}

function Remove-State {
    Remove-Item -LiteralPath $StateKey -Recurse -ErrorAction SilentlyContinue
}

# --- what there is --------------------------------------------------------------------------------

function Assert-Administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Run it in a PowerShell that was started as administrator.'
    }
}

# The services of the drivers of all wired-in network cards, also of those that are not plugged in now.
function Get-NetworkDriver {
    $names = @{}
    foreach ($device in Get-PnpDevice -Class Net -ErrorAction SilentlyContinue) {
        if ($device.InstanceId -notmatch '^(PCI|VMBUS|XENVIF)\\') { continue }
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Enum\' + $device.InstanceId
        $service = Get-Value $key 'Service'
        if ($service) { $names[$service] = $true }
    }
    return @($names.Keys | Sort-Object)
}

function Get-PageFile {
    return @(Get-CimInstance -ClassName Win32_PageFileSetting)
}

function Get-CurrentState {
    $drivers = @{}
    foreach ($name in Get-NetworkDriver) {
        $drivers[$name] = Get-Value "$ServicesKey\$name" 'Start'
    }
    $files = @()
    foreach ($file in Get-PageFile) {
        $files += @{ Name = $file.Name; InitialSize = $file.InitialSize; MaximumSize = $file.MaximumSize }
    }
    return @{
        InitiatorStart    = Get-Value "$ServicesKey\MSiSCSI" 'Start'
        InitiatorRunning  = (Get-Service -Name MSiSCSI).Status -eq 'Running'
        Drivers           = $drivers
        AutomaticPageFile = (Get-CimInstance -ClassName Win32_ComputerSystem).AutomaticManagedPagefile
        PageFiles         = $files
        Hibernate         = Get-Value $PowerKey 'HibernateEnabled'
        FastStart         = Get-Value $FastStartKey 'HiberbootEnabled'
    }
}

# --- install, uninstall ---------------------------------------------------------------------------

function Set-Initiator {
    Set-Service -Name MSiSCSI -StartupType Automatic
    Start-Service -Name MSiSCSI
    Write-Output 'The iSCSI initiator starts with the system.'
}

function Set-DriverStart {
    foreach ($name in Get-NetworkDriver) {
        if ((Get-Value "$ServicesKey\$name" 'Start') -eq $BootStart) { continue }
        Set-Number "$ServicesKey\$name" 'Start' $BootStart
        Write-Output "The network driver $name starts at boot."
    }
}

function Set-AutomaticPageFile([bool] $Automatic) {
    Get-CimInstance -ClassName Win32_ComputerSystem |
        Set-CimInstance -Property @{ AutomaticManagedPagefile = $Automatic }
}

# Windows stops with a blue screen when its page file lies on an iSCSI disk.
function Disable-PageFile {
    Set-AutomaticPageFile $false
    Get-PageFile | Remove-CimInstance
    Write-Output 'The page file is off from the next start on.'
}

# What a hibernated Windows remembers of its hardware is wrong in another machine.
function Disable-Hibernation {
    Set-Number $FastStartKey 'HiberbootEnabled' 0
    & powercfg.exe /hibernate off
    if ($LASTEXITCODE -ne 0) { throw 'powercfg could not turn hibernation off.' }
    Write-Output 'Hibernation and fast start-up are off.'
}

function Install-Setup {
    Assert-Administrator
    if (@(Get-NetworkDriver).Count -eq 0) {
        throw 'There is no driver of a network card: install that of the machine that shall boot.'
    }
    $again = $null -ne (Read-State)
    if (-not $again) { Write-State (Get-CurrentState) }
    try {
        Set-Initiator
        Set-DriverStart
        Disable-PageFile
        Disable-Hibernation
    } catch {
        if ($again) {
            Write-Output 'A step failed. What an earlier install made stays: run install again, or uninstall.'
        } else {
            Write-Output 'A step failed. Everything is put back.'
            Restore-Setup
        }
        throw
    }
    Write-Output 'Done. Restart Windows once, so that the page file goes; then shut it down.'
}

function Restore-Setup {
    $state = Read-State
    if ($null -eq $state) { throw 'Nothing to take back: install was not run here.' }
    foreach ($driver in $state.Drivers.PSObject.Properties) {
        Set-Number "$ServicesKey\$($driver.Name)" 'Start' $driver.Value
    }
    if (-not $state.InitiatorRunning) { Stop-Service -Name MSiSCSI -Force -ErrorAction SilentlyContinue }
    Set-Number "$ServicesKey\MSiSCSI" 'Start' $state.InitiatorStart
    Get-PageFile | Remove-CimInstance
    foreach ($file in $state.PageFiles) {
        New-CimInstance -ClassName Win32_PageFileSetting -Property @{ Name = $file.Name } |
            Set-CimInstance -Property @{
                InitialSize = [uint32] $file.InitialSize
                MaximumSize = [uint32] $file.MaximumSize
            }
    }
    Set-AutomaticPageFile $state.AutomaticPageFile
    if ($state.Hibernate) { & powercfg.exe /hibernate on }
    Set-Number $FastStartKey 'HiberbootEnabled' $state.FastStart
    Remove-State
}

function Uninstall-Setup {
    Assert-Administrator
    if (Test-BootedOverIscsi) {
        throw 'This Windows runs from the iSCSI disk right now: boot it in its own machine first.'
    }
    Restore-Setup
    Write-Output 'Done: every setting is as it was before install. Restart Windows once.'
}

# --- check ----------------------------------------------------------------------------------------

function Test-BootedOverIscsi {
    $disk = Get-Disk | Where-Object { $_.IsBoot } | Select-Object -First 1
    return ($null -ne $disk) -and ($disk.BusType -eq 'iSCSI')
}

function Write-Verdict([bool] $Good, [string] $Words) {
    if ($Good) { Write-Output "ok  $Words" } else {
        Write-Output "NO  $Words"
        $script:Prepared = $false
    }
}

function Test-Setup {
    Assert-Administrator
    $start = Get-Value "$ServicesKey\MSiSCSI" 'Start'
    Write-Verdict ($start -eq 2) 'the iSCSI initiator starts with the system'
    $drivers = @(Get-NetworkDriver)
    Write-Verdict ($drivers.Count -gt 0) 'there are drivers of network cards'
    foreach ($name in $drivers) {
        Write-Verdict ((Get-Value "$ServicesKey\$name" 'Start') -eq $BootStart) `
            "the network driver $name starts at boot"
    }
    $computer = Get-CimInstance -ClassName Win32_ComputerSystem
    Write-Verdict (-not $computer.AutomaticManagedPagefile -and @(Get-PageFile).Count -eq 0) `
        'there is no page file'
    Write-Verdict (-not (Get-Value $PowerKey 'HibernateEnabled')) 'hibernation is off'
    Write-Verdict ((Get-Value $FastStartKey 'HiberbootEnabled') -eq 0) 'fast start-up is off'
    if (Test-BootedOverIscsi) {
        Write-Output 'ok  running over iSCSI'
    } else {
        Write-Output "note: this start was not over iSCSI; the target is $Iqn at $Server port $Port"
    }
    if ($script:Prepared) {
        Write-Output 'Prepared: this disk boots over iSCSI.'
    } else {
        Write-Output 'Not prepared: run install.'
        exit 1
    }
}

# --- a further disk of a running system -----------------------------------------------------------

# The name that the firmware of this machine would log in with.
function Get-InitiatorName {
    $route = Find-NetRoute -RemoteIPAddress $Server | Select-Object -First 1
    $adapter = Get-NetAdapter -InterfaceIndex $route.InterfaceIndex -ErrorAction SilentlyContinue
    $mac = if ($adapter) { [string]$adapter.MacAddress } else { '' }
    if ($Initiator.Contains('%m') -and -not $mac) {
        throw "$Server is reached through no card with a MAC, and this machine's initiator name is made of one: " +
            'give it a name by clients.initiator'
    }
    return $Initiator.Replace('%m', $mac.ToLowerInvariant())
}

function Connect-Disk {
    Assert-Administrator
    Set-Initiator
    $name = Get-InitiatorName
    $ports = @(Get-InitiatorPort | Where-Object { $_.ConnectionType -eq 'iSCSI' })
    if ($ports.Count -gt 0 -and $ports[0].NodeAddress -ne $name) {
        Set-InitiatorPort -NodeAddress $ports[0].NodeAddress -NewNodeAddress $name | Out-Null
    }
    $session = @{
        NodeAddress            = $Iqn
        TargetPortalAddress    = $Server
        TargetPortalPortNumber = [uint16] $Port
        IsPersistent           = $true
    }
    if ($ChapUser) {
        $session.AuthenticationType = 'ONEWAYCHAP'
        $session.ChapUsername = $ChapUser
        $session.ChapSecret = $ChapSecret
    }
    if ($ChapTargetUser) {
        Set-IscsiChapSecret -ChapSecret $ChapTargetSecret
        $session.AuthenticationType = 'MUTUALCHAP'
    }
    New-IscsiTargetPortal -TargetPortalAddress $Server -TargetPortalPortNumber ([uint16] $Port) | Out-Null
    Connect-IscsiTarget @session | Out-Null
    Update-HostStorageCache
    Write-Output "Logged in as $name. The disk is LUN ${Lun}:"
    Get-Disk | Where-Object { $_.BusType -eq 'iSCSI' }
}

function Disconnect-Disk {
    Assert-Administrator
    Get-IscsiTarget -NodeAddress $Iqn | Get-IscsiSession | Where-Object { $_.IsPersistent } |
        Unregister-IscsiSession
    Disconnect-IscsiTarget -NodeAddress $Iqn -Confirm:$false
    Remove-IscsiTargetPortal -TargetPortalAddress $Server -Confirm:$false
    Write-Output 'Logged out.'
}

# --- the command ----------------------------------------------------------------------------------

switch ($Command) {
    'install' { Install-Setup }
    'check' { Test-Setup }
    'uninstall' { Uninstall-Setup }
    'connect' { Connect-Disk }
    'disconnect' { Disconnect-Disk }
}
