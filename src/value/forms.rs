//! Forms in which values of each type come from the field, and what becomes of them.
//!
//! A line is `written => normal form`, or `written =! part of the reason` for one that is refused.

use super::*;

const DOMAIN: &str = r#"
example.com => example.com
EXAMPLE.Com. => example.com
www.example.co.jp => www.example.co.jp
evil[.]example => evil.example
evil(.)example{.}com => evil.example.com
evil[dot]example(DOT)com[.] => evil.example.com
evil[[.]]example.com => evil.example.com
sykkeltrøye.com => xn--sykkeltrye-7cb.com
bücher.example => xn--bcher-kva.example
BÜCHER.example => xn--bcher-kva.example
xn--bcher-kva.example => xn--bcher-kva.example
straße.example => xn--strae-oqa.example
ｅｘａｍｐｌｅ。jp => example.jp
p𝓸𝘳𝘯𝚔𝘢f.net => pornkaf.net
例子.example => xn--fsqu00a.example
_dmarc.my_shop.example => _dmarc.my_shop.example
r3---sn-abc.-odd-.example => r3---sn-abc.-odd-.example
1636365.com => 1636365.com
123.example => 123.example
a.b.c.d.e.f.example => a.b.c.d.e.f.example
login-microsoft-support.top => login-microsoft-support.top
xn--p1ai.example => xn--p1ai.example
secure.bank.example.evil.top. => secure.bank.example.evil.top
t.me => t.me
localhost =! two or more are wanted
192.0.2.1 =! type ip
2001:db8::1 =! type url or ip
example.0x1f =! type ip
example.com/path =! type url
example.com:8080 =! remove the port
user@example.com =! type email
a..example =! empty label
ex!ample.com =! UTS-46
xn--a.example =! UTS-46
exam ple.com =! byte 4
"#;

const URL: &str = r#"
http://example.com => http://example.com/
HTTP://EXAMPLE.com:80/A?b#c => http://example.com/A?b#c
https://example.com:443/ => https://example.com/
https://example.com:8443/ => https://example.com:8443/
https://bücher.example/ü => https://xn--bcher-kva.example/%C3%BC
http://bank.example@evil.example/x => http://bank.example@evil.example/x
http://u:p@evil.example:8080/ => http://u:p@evil.example:8080/
http://evil.example./a => http://evil.example/a
http://0x7f.1/ => http://127.0.0.1/
http://[2001:DB8::1]:81/ => http://[2001:db8::1]:81/
ftp://files.example/x.zip => ftp://files.example/x.zip
tcp://EVIL.example:4444 => tcp://evil.example:4444
ssh://root@192.0.2.1:22 => ssh://root@192.0.2.1:22
hxxp://evil[.]example/a[.]php => http://evil.example/a.php
hXXps[:]//evil(.)example => https://evil.example/
hxxps[://]user[at]evil[dot]example => https://user@evil.example/
http://evil.example/%41%42 => http://evil.example/AB
http://evil.example/%7euser => http://evil.example/~user
http://evil.example/%2d%2D%2e_ => http://evil.example/--._
http://evil.example/a%2fb => http://evil.example/a%2Fb
http://evil.example/a%2Fb => http://evil.example/a%2Fb
http://evil.example/%c3%bc => http://evil.example/%C3%BC
http://evil.example/ü => http://evil.example/%C3%BC
http://evil.example/a b => http://evil.example/a%20b
http://evil.example/a%20b => http://evil.example/a%20b
http://evil.example/?q=a b => http://evil.example/?q=a%20b
http://evil.example/?q=%61+b => http://evil.example/?q=a+b
http://evil.example/#a b => http://evil.example/#a%20b
http://evil.example/100% => http://evil.example/100%25
http://evil.example/%zz => http://evil.example/%25zz
http://evil.example/%%341 => http://evil.example/%2541
http://evil.example/%2541 => http://evil.example/%2541
http://evil.example/a/../b/./c => http://evil.example/b/c
http://evil.example/a/%2e%2E/b => http://evil.example/b
tcp://evil.example/%7e%2f => tcp://evil.example/~%2F
http://u%73er@evil.example/ => http://user@evil.example/
example.com/x =! begin with http://
javascript:alert(1) =! begin with http://
file:///etc/passwd =! no host
data://x.example =! is not accepted
http://localhost/ =! two or more
http://0.0.0.0/ =! unspecified
http://a b.example/ =!
http://a.example http://b.example =! one URL a row
"#;

const IP: &str = r#"
192.0.2.1 => 192.0.2.1
192[.]0[.]2[.]1 => 192.0.2.1
192(.)0(.)2(.)1 => 192.0.2.1
8.8.8.8 => 8.8.8.8
10.0.0.1 => 10.0.0.1
255.255.255.255 => 255.255.255.255
127.0.0.1 => 127.0.0.1
203.0.113.254 => 203.0.113.254
192.0.2.1/32 => 192.0.2.1
192[.]0[.]2[.]1/32 => 192.0.2.1
2001:db8::1/128 => 2001:db8::1
2001:0DB8:0:0::0001 => 2001:db8::1
2001:db8:0:0:0:0:0:1 => 2001:db8::1
2001:DB8::1 => 2001:db8::1
[2001:db8::1] => 2001:db8::1
::1 => ::1
fe80::1 => fe80::1
2001:db8::192.0.2.1 => 2001:db8::c000:201
::ffff:192.0.2.1 => 192.0.2.1
::FFFF:c000:0201 => 192.0.2.1
64:ff9b::192.0.2.1 => 64:ff9b::c000:201
2001:db8:1:1:1:1:1:1 => 2001:db8:1:1:1:1:1:1
192.0.2.01 =! leading zeros
0300.0.2.1 =! leading zeros
3221225985 =! wanted an address
fe80::1%eth0 =! zone id
192.0.2.1:80 =! without a port
192.0.2.0/24 =! type cidr
192.0.2.1/128 =! type cidr
2001:db8::/32 =! type cidr
0.0.0.0 =! unspecified
:: =! unspecified
192.0.2 =! wanted an address
evil.example =! wanted an address
"#;

const CIDR: &str = r#"
192.0.2.77/24 => 192.0.2.0/24
192.0.2.0/24 => 192.0.2.0/24
192[.]0.2.0/25 => 192.0.2.0/25
10.0.0.0/8 => 10.0.0.0/8
10.255.255.255/8 => 10.0.0.0/8
172.16.5.4/12 => 172.16.0.0/12
192.168.0.0/16 => 192.168.0.0/16
203.0.113.128/25 => 203.0.113.128/25
203.0.113.129/31 => 203.0.113.128/31
198.51.100.7/30 => 198.51.100.4/30
1.2.3.4/1 => 0.0.0.0/1
2001:DB8:1::/32 => 2001:db8::/32
2001:db8::/48 => 2001:db8::/48
2001:db8:0:0::/64 => 2001:db8::/64
2001:db8::1/127 => 2001:db8::/127
fe80::1/10 => fe80::/10
::ffff:192.0.2.77/120 => 192.0.2.0/24
::ffff:c000:0200/112 => 192.0.0.0/16
2001:db8:ffff::/33 => 2001:db8:8000::/33
192.0.2.1 =! type ip
192.0.2.0/33 =! too long
2001:db8::/129 =! too long
192.0.2.0/255.255.255.0 =! no netmask
192.0.2.0/+8 =! no netmask
192.0.2.0/08 =! no netmask
192.0.2.0/ =! prefix length
::ffff:1.2.3.4/64 =! above /96
0.0.0.0/0 =! narrower
::/0 =! narrower
::ffff:0.0.0.0/96 =! narrower
evil.example/24 =! wanted an address
192.0.2.0-192.0.2.255 =! prefix length
"#;

const ASN: &str = r#"
AS64500 => AS64500
as64500 => AS64500
As64500 => AS64500
aS64500 => AS64500
64500 => AS64500
1 => AS1
AS1 => AS1
AS007 => AS7
00015169 => AS15169
AS15169 => AS15169
13335 => AS13335
AS13335 => AS13335
AS2497 => AS2497
AS4713 => AS4713
AS17676 => AS17676
AS3462 => AS3462
AS16509 => AS16509
AS8075 => AS8075
AS20940 => AS20940
65535 => AS65535
AS65536 => AS65536
AS4200000000 => AS4200000000
4294967295 => AS4294967295
AS4294967296 =! 4294967295
AS0 =! reserved
0 =! reserved
AS1.10 =! without dots
64500.0 =! without dots
AS+5 =! wanted AS
AS =! wanted AS
AS 64500 =! byte 2
ASN64500 =! wanted AS
-1 =! wanted AS
1e5 =! wanted AS
"#;

const EMAIL: &str = r#"
First.Last+x@EXAMPLE.com. => First.Last+x@example.com
user@example.com => user@example.com
user@EXAMPLE.COM => user@example.com
a[at]b[.]example => a@b.example
a(at)b(dot)example => a@b.example
a{at}b.example => a@b.example
mailto:a@bücher.example => a@xn--bcher-kva.example
MAILTO:a@b.example => a@b.example
a..b.@carrier.example => a..b.@carrier.example
.a@b.example => .a@b.example
用户@例子.example => 用户@xn--fsqu00a.example
o'brien@example.ie => o'brien@example.ie
user_name@example.co.jp => user_name@example.co.jp
user-name@example.com => user-name@example.com
user+tag@example.com => user+tag@example.com
12345@example.com => 12345@example.com
support@micros0ft.example => support@micros0ft.example
refund%desk@example.com => refund%desk@example.com
a@sub.domain.example => a@sub.domain.example
a=b@example.com => a=b@example.com
a/b@example.com => a/b@example.com
a@xn--bcher-kva.example => a@xn--bcher-kva.example
a@BÜCHER.example => a@xn--bcher-kva.example
x@example.jp => x@example.jp
example.com =! no @
@example.com =! 0 bytes
a@b@example.com =! '@'
<a@example.com> =! one bare address
a@localhost =! two or more
a@[192.0.2.1] =!
a b@example.com =! byte 1
a@ =!
"#;

const PHONE: &str = r#"
+81 3-1234-5678 => +81312345678
+81312345678 => +81312345678
+81 (3) 1234 5678 => +81312345678
+81 90-1234-5678 => +819012345678
＋８１ ９０ １２３４ ５６７８ => +819012345678
+44 (0)20 7946 0958 => +442079460958
+44 20 7946 0958 => +442079460958
+44-20-7946-0958 => +442079460958
+1 (888) 555.0199 => +18885550199
+1.888.555.0199 => +18885550199
+1-888-555-0199 => +18885550199
+18885550199 => +18885550199
+1 202 555 0123 => +12025550123
+39 06 1234 5678 => +390612345678
+91 98765 43210 => +919876543210
+91-98765-43210 => +919876543210
+61 2 5550 1234 => +61255501234
+49 30 901820 => +4930901820
+33 1 23 45 67 89 => +33123456789
+86 10 1234 5678 => +861012345678
+65 6123 4567 => +6561234567
+66 2 123 4567 => +6621234567
+55 11 91234-5678 => +5511912345678
+7 495 123-45-67 => +74951234567
+234 803 123 4567 => +2348031234567
+1/202/555/0123 => +12025550123
03-1234-5678 =! country code
0081312345678 =! country code
+81 =! 7 to 15 digits
+81 3 1234 5678 ext 9 =! 7 to 15 digits
+999 1234 5678 =! country code
+81312345678.0 =! spreadsheet
8.1312E+11 =! spreadsheet
81312345678.0 =! spreadsheet
"#;

const FILE_HASH: &str = r#"
9dd4e461268c8034f5c8564e155c67a6 => md5:9dd4e461268c8034f5c8564e155c67a6
9DD4E461268C8034F5C8564E155C67A6 => md5:9dd4e461268c8034f5c8564e155c67a6
md5:9dd4e461268c8034f5c8564e155c67a6 => md5:9dd4e461268c8034f5c8564e155c67a6
MD5=9dd4e461268c8034f5c8564e155c67a6 => md5:9dd4e461268c8034f5c8564e155c67a6
11f6ad8ec52a2984abaafd7c3b516503785c2072 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
11F6AD8EC52A2984ABAAFD7C3B516503785C2072 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
SHA1=11f6ad8ec52a2984abaafd7c3b516503785c2072 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae => sha224:54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae
54A2F7F92A5F975D8096AF77A126EDDA7DA60C5AA872EF1B871701AE => sha224:54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae
sha224:54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae => sha224:54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae
SHA224=54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae => sha224:54a2f7f92a5f975d8096af77a126edda7da60c5aa872ef1b871701ae
2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
SHA256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85 => sha384:d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85
D752C2C51FBA0E29AA190570A9D4253E44077A058D3297FA3A5630D5BD012622F97C28ACAED313B5C83BB990CAA7DA85 => sha384:d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85
sha384:d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85 => sha384:d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85
SHA384=d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85 => sha384:d752c2c51fba0e29aa190570a9d4253e44077a058d3297fa3a5630d5bd012622f97c28acaed313b5c83bb990caa7da85
a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62 => sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62
A4ABD4448C49562D828115D13A1FCCEA927F52B4D5459297F8B43E42DA89238BC13626E43DCB38DDB082488927EC904FB42057443983E88585179D50551AFE62 => sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62
sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62 => sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62
SHA512=a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62 => sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62
SHA-1:11f6ad8ec52a2984abaafd7c3b516503785c2072 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
SHA-256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
SHA-512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62 => sha512:a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62
sha256:9dd4e461268c8034f5c8564e155c67a6 =! length of md5
sha1:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 =! length of sha256
sha3-256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 =! length of sha256
9dd4e461268c8034f5c8564e155c67a =! 31 hexadecimal digits
gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg =! is not a hexadecimal digit
2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881.0 =! is not a hexadecimal digit
"#;

const CERTIFICATE: &str = r#"
5B:A9:3C:9D:B0:CF:F9:3F:52:B5:21:D7:42:0E:43:F6:ED:A2:78:4F => sha1:5ba93c9db0cff93f52b521d7420e43f6eda2784f
5ba93c9db0cff93f52b521d7420e43f6eda2784f => sha1:5ba93c9db0cff93f52b521d7420e43f6eda2784f
BF:8B:45:30:D8:D2:46:DD:74:AC:53:A1:34:71:BB:A1:79:41:DF:F7 => sha1:bf8b4530d8d246dd74ac53a13471bba17941dff7
bf8b4530d8d246dd74ac53a13471bba17941dff7 => sha1:bf8b4530d8d246dd74ac53a13471bba17941dff7
C4:EA:21:BB:36:5B:BE:EA:F5:F2:C6:54:88:3E:56:D1:1E:43:C4:4E => sha1:c4ea21bb365bbeeaf5f2c654883e56d11e43c44e
c4ea21bb365bbeeaf5f2c654883e56d11e43c44e => sha1:c4ea21bb365bbeeaf5f2c654883e56d11e43c44e
98:42:92:6A:F7:CA:0A:8C:CA:12:60:4F:94:54:14:F0:7B:01:E1:3D => sha1:9842926af7ca0a8cca12604f945414f07b01e13d
9842926af7ca0a8cca12604f945414f07b01e13d => sha1:9842926af7ca0a8cca12604f945414f07b01e13d
A4:2C:6C:F1:DE:3A:BF:DE:A9:B9:5F:34:68:7C:BB:E9:2B:9A:73:83 => sha1:a42c6cf1de3abfdea9b95f34687cbbe92b9a7383
a42c6cf1de3abfdea9b95f34687cbbe92b9a7383 => sha1:a42c6cf1de3abfdea9b95f34687cbbe92b9a7383
8D:C0:05:98:41:7D:4E:B7:88:A7:7A:C6:CC:EF:3C:B4:84:90:5D:8B => sha1:8dc00598417d4eb788a77ac6ccef3cb484905d8b
8dc00598417d4eb788a77ac6ccef3cb484905d8b => sha1:8dc00598417d4eb788a77ac6ccef3cb484905d8b
6E:34:0B:9C:FF:B3:7A:98:9C:A5:44:E6:BB:78:0A:2C:78:90:1D:3F:B3:37:38:76:85:11:A3:06:17:AF:A0:1D => sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d => sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
4B:F5:12:2F:34:45:54:C5:3B:DE:2E:BB:8C:D2:B7:E3:D1:60:0A:D6:31:C3:85:A5:D7:CC:E2:3C:77:85:45:9A => sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a => sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
DB:C1:B4:C9:00:FF:E4:8D:57:5B:5D:A5:C6:38:04:01:25:F6:5D:B0:FE:3E:24:49:4B:76:EA:98:64:57:D9:86 => sha256:dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986
dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986 => sha256:dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986
08:4F:ED:08:B9:78:AF:4D:7D:19:6A:74:46:A8:6B:58:00:9E:63:6B:61:1D:B1:62:11:B6:5A:9A:AD:FF:29:C5 => sha256:084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5
084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5 => sha256:084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5
E5:2D:9C:50:8C:50:23:47:34:4D:8C:07:AD:91:CB:D6:06:8A:FC:75:FF:62:92:F0:62:A0:9C:A3:81:C8:9E:71 => sha256:e52d9c508c502347344d8c07ad91cbd6068afc75ff6292f062a09ca381c89e71
e52d9c508c502347344d8c07ad91cbd6068afc75ff6292f062a09ca381c89e71 => sha256:e52d9c508c502347344d8c07ad91cbd6068afc75ff6292f062a09ca381c89e71
E7:7B:9A:9A:E9:E3:0B:0D:BD:B6:F5:10:A2:64:EF:9D:E7:81:50:1D:7B:6B:92:AE:89:EB:05:9C:5A:B7:43:DB => sha256:e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db
e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db => sha256:e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db
11 F6 AD 8E C5 2A 29 84 AB AA FD 7C 3B 51 65 03 78 5C 20 72 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
SHA1 Fingerprint=11:F6:AD:8E:C5:2A:29:84:AB:AA:FD:7C:3B:51:65:03:78:5C:20:72 => sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072
sha256 Fingerprint=2D:71:16:42:B7:26:B0:44:01:62:7C:A9:FB:AC:32:F5:C8:53:0F:B1:90:3C:C4:DB:02:25:87:17:92:1A:48:81 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
SHA-256:2d:71:16:42:b7:26:b0:44:01:62:7c:a9:fb:ac:32:f5:c8:53:0f:b1:90:3c:c4:db:02:25:87:17:92:1a:48:81 => sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
9dd4e461268c8034f5c8564e155c67a6 =! 40 (sha1), 64 (sha256)
sha256:11:f6:ad:8e:c5:2a:29:84:ab:aa:fd:7c:3b:51:65:03:78:5c:20:72 =! length of sha1
sha1:2d:71:16:42:b7:26:b0:44:01:62:7c:a9:fb:ac:32:f5:c8:53:0f:b1:90:3c:c4:db:02:25:87:17:92:1a:48:81 =! length of sha256
11:f6:ad:8e:c5:2a:29:84:ab:aa:fd:7c:3b:51:65:03:78:5c:20:7 =! hexadecimal digits
zz:f6:ad:8e:c5:2a:29:84:ab:aa:fd:7c:3b:51:65:03:78:5c:20:72 =! hexadecimal digits
"#;

const CRYPTO_ADDRESS: &str = r#"
1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa => btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa => btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
BTC:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa => btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
xbt:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa => btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
38ceBmKQvFLHEWdL9QTp2bBSMK9CXoMtqH => btc:38ceBmKQvFLHEWdL9QTp2bBSMK9CXoMtqH
BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4 => btc:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4
bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0 => btc:bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0
bc1qmxvjjnep5pt39h4dxrp9xkm7r85hlgmsd4z9sqtge0p36k9v4xws04ltf3 => btc:bc1qmxvjjnep5pt39h4dxrp9xkm7r85hlgmsd4z9sqtge0p36k9v4xws04ltf3
LfFvJAarKaEKuKPzf6HBkKfZwCaKFGSxpH => ltc:LfFvJAarKaEKuKPzf6HBkKfZwCaKFGSxpH
MEpnVejNsNBi31uEFHT9rERqg1jeYwSQsv => ltc:MEpnVejNsNBi31uEFHT9rERqg1jeYwSQsv
ltc:38ceBmKQvFLHEWdL9QTp2bBSMK9CXoMtqH => ltc:MEpnVejNsNBi31uEFHT9rERqg1jeYwSQsv
litecoin:MEpnVejNsNBi31uEFHT9rERqg1jeYwSQsv => ltc:MEpnVejNsNBi31uEFHT9rERqg1jeYwSQsv
LTC1QPP876Z9E0ZH56LGEDF6YD2RTTQQFUCMTGHYDEV => ltc:ltc1qpp876z9e0zh56lgedf6yd2rttqqfucmtghydev
DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L => doge:DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L
dogecoin:DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L => doge:DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L
TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
usdt-trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
USDT(TRC20):TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
tether_tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
usdt:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
trc20.tron:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t => trx:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
0X5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
usdt-erc20:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
erc20:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed => eth:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
bsc:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => bsc:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
usdt_bep20:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => bsc:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
bnb:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => bsc:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
matic:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => polygon:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
usdc-polygon:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => polygon:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
arb:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => arbitrum:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => base:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
avalanche:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed => avax:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed
qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a => bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a
bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a => bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a
BITCOINCASH:QPM2QSZNHKS23Z7629MMS6S4CWEF74VCWVY22GDX6A => bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a
bch:1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu => bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a
bch:bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a => bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a
bch:3CWFddi6m4ndiGyKqzYvsFYagqDLPVMTzC => bch:ppm2qsznhks23z7629mms6s4cwef74vcwvn0h829pq
bnb1grpf0955h0ykzq3ar5nmum7y6gdfl6lxfn46h2 => bnb:bnb1grpf0955h0ykzq3ar5nmum7y6gdfl6lxfn46h2
bep2:BNB1GRPF0955H0YKZQ3AR5NMUM7Y6GDFL6LXFN46H2 => bnb:bnb1grpf0955h0ykzq3ar5nmum7y6gdfl6lxfn46h2
addr1qx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzer3n0d3vllmyqwsx5wktcd8cc3sq835lu7drv2xwl2wywfgse35a3x => ada:addr1qx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzer3n0d3vllmyqwsx5wktcd8cc3sq835lu7drv2xwl2wywfgse35a3x
addr1vx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzers66hrl8 => ada:addr1vx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzers66hrl8
stake1uyehkck0lajq8gr28t9uxnuvgcqrc6070x3k9r8048z8y5gh6ffgw => ada:stake1uyehkck0lajq8gr28t9uxnuvgcqrc6070x3k9r8048z8y5gh6ffgw
Ae2tdPwUPEYwFx4dmJheyNPPYXtvHbJLeCaA96o6Y2iiUL18cAt7AizN2zG => ada:Ae2tdPwUPEYwFx4dmJheyNPPYXtvHbJLeCaA96o6Y2iiUL18cAt7AizN2zG
cardano:DdzFFzCqrht8BGTZSZkeb95sLJshiPRvJ3BiBSnmsMsFDWdPWsQ96i7Nmq41y6eb3KBThKPn9fsNsVsfgisxxPwC4zW2VRnioGhvBi5f => ada:DdzFFzCqrht8BGTZSZkeb95sLJshiPRvJ3BiBSnmsMsFDWdPWsQ96i7Nmq41y6eb3KBThKPn9fsNsVsfgisxxPwC4zW2VRnioGhvBi5f
EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N => ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8
ton:UQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqEBI => ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8
toncoin:0:83DFD552E63729B472FCBCC8C45EBCC6691702558B68EC7527E1BA403A0F31A8 => ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8
0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8 => ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8
jetton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8 => ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8
EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id/sDs => ton:0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe
Ef8zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM0vF => ton:-1:3333333333333333333333333333333333333333333333333333333333333333
44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A => xmr:44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A
monero:888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H => xmr:888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H
4LL9oSLmtpccfufTMvppY6JwXNouMBzSkbLYfpAV5Usx3skxNgYeYTRj5UzqtReoS44qo9mtmXCqY45DJ852K5Jv2bYXZKKQePHES9khPK => xmr:4LL9oSLmtpccfufTMvppY6JwXNouMBzSkbLYfpAV5Usx3skxNgYeYTRj5UzqtReoS44qo9mtmXCqY45DJ852K5Jv2bYXZKKQePHES9khPK
rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh => xrp:rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh
rrrrrrrrrrrrrrrrrrrrrhoLvTp => xrp:rrrrrrrrrrrrrrrrrrrrrhoLvTp
X7AcgcsBL6XDcUb289X4mJ8djcdyKaB5hJDWMArnXr61cqZ => xrp:X7AcgcsBL6XDcUb289X4mJ8djcdyKaB5hJDWMArnXr61cqZ
solana:So11111111111111111111111111111111111111112 => sol:So11111111111111111111111111111111111111112
usdc-spl:So11111111111111111111111111111111111111112 => sol:So11111111111111111111111111111111111111112
So11111111111111111111111111111111111111112 =! name the chain
1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb =! checksum
bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5 =! checksum
btc:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed =! the address is of eth
eth:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa =! EIP-55
xrp:rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTi =! xrp address
0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD =! EIP-55
usdt:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed =! name the chain
foo:bar =! chain is unknown
xmr:4AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA =! xmr address
tb1qpp876z9e0zh56lgedf6yd2rttqqfucmtxd9660 =! no known chain
trx:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa =! the address is of btc
ton:0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a =! ton address
ada:addr_test1vz2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzerspjrlsz =! ada address
bch:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6q =! bch address
"#;

const BANK_ACCOUNT: &str = r#"
DE44 5001 0517 5407 3249 31 => DE44500105175407324931
de44500105175407324931 => DE44500105175407324931
DE44-5001-0517-5407-3249-31 => DE44500105175407324931
iban: gb29 nwbk 6016 1331 9268 19 => GB29NWBK60161331926819
IBAN GB29 NWBK 6016 1331 9268 19 => GB29NWBK60161331926819
FR14 2004 1010 0505 0001 3M02 606 => FR1420041010050500013M02606
NL91 ABNA 0417 1643 00 => NL91ABNA0417164300
ES91 2100 0418 4502 0005 1332 => ES9121000418450200051332
IT60 X054 2811 1010 0000 0123 456 => IT60X0542811101000000123456
BE68 5390 0754 7034 => BE68539007547034
CH93 0076 2011 6238 5295 7 => CH9300762011623852957
AT61 1904 3002 3457 3201 => AT611904300234573201
PL61 1090 1014 0000 0712 1981 2874 => PL61109010140000071219812874
SE45 5000 0000 0583 9825 7466 => SE4550000000058398257466
NO93 8601 1117 947 => NO9386011117947
DK50 0040 0440 1162 43 => DK5000400440116243
AE07 0331 2345 6789 0123 456 => AE070331234567890123456
SA03 8000 0000 6080 1016 7519 => SA0380000000608010167519
jp:0005-123:0012345 => JP:0005123:0012345
JP:0005:1234567 => JP:0005:1234567
IN:HDFC0001234:50100012345678 => IN:HDFC0001234:50100012345678
us:021000021:123456789 => US:021000021:123456789
AU:062-000:12345678 => AU:062000:12345678
CN:102100099996:6222020200012345678 => CN:102100099996:6222020200012345678
TH:004:0123456789 => TH:004:0123456789
PH:BOPI:0012 3456 78 => PH:BOPI:0012345678
DE45500105175407324931 =! IBAN
12345678 =! country, bank and account
XX:1:2 =! ISO 3166
JP:1:2:3 =! country, bank and account
JP::1 =! the bank
JP:1: =! the account
JP:0005123:1234567.0 =! the account
JP:0005123:1.2E+9 =! the account
"#;

const PAYMENT_HANDLE: &str = r#"
Name.1@OkBank => upi:name.1@okbank
name@okbank => upi:name@okbank
UPI:name@ybl => upi:name@ybl
upi: Name@YBL => upi:name@ybl
9876543210@paytm => upi:9876543210@paytm
first-last_1@oksbi => upi:first-last_1@oksbi
paypal:me@example.com => paypal:me@example.com
PayPal:Me@Example.com => paypal:me@example.com
paypal:me@BÜCHER.example => paypal:me@xn--bcher-kva.example
paypal.me/SomeOne => paypal:someone
https://paypal.me/SomeOne => paypal:someone
https://www.paypal.me/SomeOne/ => paypal:someone
paypal:@SomeOne => paypal:someone
paypal:+12025550123 => paypal:+12025550123
cashapp:$SomeOne => cashapp:$someone
cashapp:someone => cashapp:$someone
cash.app/$SomeOne => cashapp:$someone
https://cash.app/$SomeOne => cashapp:$someone
venmo:@Some-One => venmo:@some-one
venmo:some-one => venmo:@some-one
https://venmo.com/u/Some-One => venmo:@some-one
zelle:a@example.com => zelle:a@example.com
zelle:+1 202 555 0123 => zelle:+12025550123
wise:someone => wise:someone
Alipay:2088123412341234 => alipay:2088123412341234
pix:Key-1 => pix:Key-1
perfectmoney:U1234567 => perfectmoney:U1234567
webmoney:Z123456789012 => webmoney:Z123456789012
me@example.com =! UPI
upi:name =! UPI
name =! it has no platform
paypal: =! paypal handle
cashapp:a b =! cashapp handle
zelle:someone =! zelle handle
venmo:https://cash.app/$x =! links to cashapp
"#;

const MESSAGING_HANDLE: &str = r#"
Telegram:@Some_One => telegram:@some_one
telegram:some_one => telegram:@some_one
telegram: @SOME_ONE => telegram:@some_one
tg:Some_One => telegram:@some_one
TG:@some_one => telegram:@some_one
t.me:some_one => telegram:@some_one
t.me/Some_One => telegram:@some_one
http://t.me/some_one => telegram:@some_one
https://t.me/Some_One => telegram:@some_one
https://t.me/Some_One?start=1 => telegram:@some_one
https://T.ME/some_one/ => telegram:@some_one
hxxps://t[.]me/some_one => telegram:@some_one
https://telegram.me/some_one => telegram:@some_one
https://t.me/s/some_one => telegram:@some_one
telegram:https://t.me/some_one => telegram:@some_one
telegram:t.me/some_one => telegram:@some_one
telegram:123456789 => telegram:123456789
telegram:+81 90-1234-5678 => telegram:+819012345678
https://t.me/+AbCdEfGh1234 => telegram:joinchat/AbCdEfGh1234
t.me/joinchat/AbCdEfGh1234 => telegram:joinchat/AbCdEfGh1234
whatsapp:+81 90 1234 5678 => whatsapp:+819012345678
wa.me/819012345678 => whatsapp:+819012345678
https://wa.me/819012345678?text=hi => whatsapp:+819012345678
https://api.whatsapp.com/send?phone=819012345678&text=hi => whatsapp:+819012345678
wa:819012345678 => whatsapp:+819012345678
signal:Name.01 => signal:name.01
signal:+12025550123 => signal:+12025550123
viber:+12025550123 => viber:+12025550123
skype:live:Some.One_1 => skype:live:some.one_1
matrix:@User:Server.example => matrix:@user:server.example
element:@user:server.example => matrix:@user:server.example
xmpp:Name@Jabber.example => xmpp:name@jabber.example
jabber:name@jabber.example => xmpp:name@jabber.example
threema:ABCD1234 => threema:abcd1234
line:Some_One => line:some_one
line:@official1 => line:@official1
wechat:wxid_AbC123 => wechat:wxid_AbC123
discord:someone => discord:someone
icq:123456789 => icq:123456789
@name =! telegram:@name
:name =! platform
telegram: =! telegram handle
telegram:a b =! telegram handle
telegram:https://x.com/name =! links to x
whatsapp:someone =! whatsapp handle
session:05abc =! session handle
"#;

const SOCIAL_HANDLE: &str = r#"
x:@Some_One => x:@some_one
x:some_one => x:@some_one
twitter:@Some_One => x:@some_one
X: Some_One => x:@some_one
x.com/Some_One => x:@some_one
https://x.com/some_one => x:@some_one
https://twitter.com/Some_One?lang=en => x:@some_one
https://www.twitter.com/some_one/ => x:@some_one
https://mobile.twitter.com/some_one => x:@some_one
instagram:@Some.One => instagram:@some.one
ig:some.one => instagram:@some.one
https://www.instagram.com/Some.One/ => instagram:@some.one
tiktok:@Some.One => tiktok:@some.one
https://www.tiktok.com/@Some.One => tiktok:@some.one
threads:@some.one => threads:@some.one
facebook:Some.One => facebook:some.one
fb:some.one => facebook:some.one
https://www.facebook.com/Some.One => facebook:some.one
https://facebook.com/profile.php?id=100012345678901 => facebook:100012345678901
https://m.facebook.com/some.one?ref=1 => facebook:some.one
m.me/Some.One => messenger:some.one
reddit:u/Some_One => reddit:some_one
https://www.reddit.com/user/Some_One/ => reddit:some_one
github:Some-One => github:some-one
https://github.com/some-one => github:some-one
youtube:@Some.One => youtube:@some.one
https://www.youtube.com/@some.one => youtube:@some.one
mastodon:@User@Server.example => mastodon:@user@server.example
bluesky:@Some.bsky.social => bluesky:@some.bsky.social
https://bsky.app/profile/some.bsky.social => bluesky:@some.bsky.social
vk:id12345 => vk:id12345
https://vk.com/Some_One => vk:some_one
snapchat:Some.One => snapchat:some.one
https://www.snapchat.com/add/some.one => snapchat:some.one
weibo:u1234567890 => weibo:u1234567890
linkedin:Some-One-123 => linkedin:Some-One-123
name =! no platform
x:Some One =! x handle
x:sixteen_letters__ =! x handle
facebook: =! facebook handle
"#;

const REMOTE_ACCESS_ID: &str = r#"
123456789 => 123456789
123 456 789 => 123456789
1 234 567-890 => 1234567890
123-456-789 => 123456789
123.456.789 => 123456789
123.456.000 => 123456000
1234567890 => 1234567890
123456 => 123456
123456789012 => 123456789012
000123456 => 000123456
AnyDesk: 123 456 789 => anydesk:123456789
anydesk:123456789 => anydesk:123456789
ANYDESK:1 234 567 890 => anydesk:1234567890
teamviewer:1 234 567 890 => teamviewer:1234567890
TeamViewer: 987654321 => teamviewer:987654321
rustdesk:123456789 => rustdesk:123456789
supremo:123 456 789 => supremo:123456789
ultraviewer:12345678 => ultraviewer:12345678
hoptodesk:123456789 => hoptodesk:123456789
quickassist:123456 => quickassist:123456
12345 =! 6 to 12 digits
1234567890123 =! 6 to 12 digits
name@ad =! 6 to 12 digits
123456789.0 =! spreadsheet
anydesk:123456789.0 =! spreadsheet
123456789.00 =! spreadsheet
123456789,0 =! spreadsheet
123 456 789.0 =! spreadsheet
1.23457E+08 =! spreadsheet
1.23457e+11 =! spreadsheet
1E+9 =! spreadsheet
anydesk: =! 6 to 12 digits
any desk:123456789 =! its platform
"#;

const APP_ID: &str = r#"
com.Example.Support => com.Example.Support
com.anydesk.anydeskandroid => com.anydesk.anydeskandroid
com.teamviewer.quicksupport.market => com.teamviewer.quicksupport.market
com.whatsapp => com.whatsapp
org.telegram.messenger => org.telegram.messenger
id1234567890 => id1234567890
1234567890 => 1234567890
com.example.app0 => com.example.app0
com.example.0 => com.example.0
jp.co.example.bank => jp.co.example.bank
in.gov.example => in.gov.example
com.example_app => com.example_app
com.example-app => com.example-app
9NKSQGP7F2NH => 9NKSQGP7F2NH
nmmhkkegccagdldgiimedpiccmgmieda => nmmhkkegccagdldgiimedpiccmgmieda
com.apple.store.Jolly => com.apple.store.Jolly
us.zoom.videomeetings => us.zoom.videomeetings
com.google.android.apps.authenticator2 => com.google.android.apps.authenticator2
a => a
A.B.C => A.B.C
com.rsupport.rs.activity.rsupport.aas2 => com.rsupport.rs.activity.rsupport.aas2
com.carriez.flutter_hbb => com.carriez.flutter_hbb
io.example => io.example
com.Example => com.Example
app:com.example => app:com.example
a b =! byte 1
1234567890.0 =! spreadsheet
1.23457E+09 =! spreadsheet
1234567890,00 =! spreadsheet
9E+9 =! spreadsheet
"#;

const USER_AGENT: &str = r#"
Mozilla/5.0  (X11) => Mozilla/5.0  (X11)
curl/8.5.0 => curl/8.5.0
curl/7.68.0 => curl/7.68.0
Wget/1.21.2 => Wget/1.21.2
python-requests/2.31.0 => python-requests/2.31.0
Python-urllib/3.11 => Python-urllib/3.11
Go-http-client/1.1 => Go-http-client/1.1
Go-http-client/2.0 => Go-http-client/2.0
Java/17.0.2 => Java/17.0.2
okhttp/4.9.3 => okhttp/4.9.3
axios/1.6.2 => axios/1.6.2
PostmanRuntime/7.36.0 => PostmanRuntime/7.36.0
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 => Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36
Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) => Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X)
Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) => Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)
Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) => Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
Mozilla/5.0 zgrab/0.x => Mozilla/5.0 zgrab/0.x
masscan/1.3 => masscan/1.3
Nmap Scripting Engine => Nmap Scripting Engine
sqlmap/1.7 => sqlmap/1.7
Microsoft BITS/7.8 => Microsoft BITS/7.8
Microsoft-CryptoAPI/10.0 => Microsoft-CryptoAPI/10.0
WindowsPowerShell/5.1 => WindowsPowerShell/5.1
libwww-perl/6.67 => libwww-perl/6.67
Dalvik/2.1.0 (Linux; U; Android 11) => Dalvik/2.1.0 (Linux; U; Android 11)
VLC/3.0.18 => VLC/3.0.18
AnyDesk/7.0 => AnyDesk/7.0
TeamViewer => TeamViewer
- => -
Opera/9.80 => Opera/9.80
mozilla/5.0 => mozilla/5.0
"#;

const AD_ACCOUNT: &str = r#"
123-456-7890 => 123-456-7890
act_1234567890 => act_1234567890
1234567890 => 1234567890
AW-123456789 => AW-123456789
G-ABC123DEF4 => G-ABC123DEF4
UA-12345678-1 => UA-12345678-1
GTM-ABC123 => GTM-ABC123
pub-1234567890123456 => pub-1234567890123456
ca-pub-1234567890123456 => ca-pub-1234567890123456
fb:act_123 => fb:act_123
B1234567 => B1234567
X7012345 => X7012345
7012345678901234567 => 7012345678901234567
DC-1234567 => DC-1234567
ENTITY123 => ENTITY123
t2_abc => t2_abc
urn:li:sponsoredAccount:512345678 => urn:li:sponsoredAccount:512345678
18ce53abcd => 18ce53abcd
123.456.7890 => 123.456.7890
a => a
1 => 1
12-34 => 12-34
google:123-456-7890 => google:123-456-7890
meta:1234567890 => meta:1234567890
tiktok:7012345678901234567 => tiktok:7012345678901234567
1234567890.0 =! spreadsheet
1.23457E+09 =! spreadsheet
7.01235E+18 =! spreadsheet
1234567890,0 =! spreadsheet
1 2 =! byte 1
"#;

const SMS_SENDER: &str = r#"
VM-HDFCBK => VM-HDFCBK
56767 => 56767
123 => 123
AMAZON => AMAZON
Amazon => Amazon
NETFLIX => NETFLIX
MyBank => MyBank
My Bank => My Bank
+819012345678 => +819012345678
819012345678 => 819012345678
AX-SBIBNK => AX-SBIBNK
JD-ICICIB => JD-ICICIB
USPS => USPS
FEDEX => FEDEX
DHL => DHL
HMRC => HMRC
myGov => myGov
NHS.UK => NHS.UK
佐川急便 => 佐川急便
ヤマト運輸 => ヤマト運輸
Au Post => Au Post
PayPal => PayPal
e-Devlet => e-Devlet
12345 => 12345
123456 => 123456
8005550199 => 8005550199
InfoSMS => InfoSMS
twelve chars =! 11 characters
12 =! 3 to 15 digits
1234567890123456 =! 3 to 15 digits
56767.0 =! spreadsheet
8.1E+11 =! spreadsheet
"#;

const TABLE: &[(ValueType, &str)] = &[
    (ValueType::Domain, DOMAIN),
    (ValueType::Url, URL),
    (ValueType::Ip, IP),
    (ValueType::Cidr, CIDR),
    (ValueType::Asn, ASN),
    (ValueType::Email, EMAIL),
    (ValueType::Phone, PHONE),
    (ValueType::FileHash, FILE_HASH),
    (ValueType::Certificate, CERTIFICATE),
    (ValueType::CryptoAddress, CRYPTO_ADDRESS),
    (ValueType::BankAccount, BANK_ACCOUNT),
    (ValueType::PaymentHandle, PAYMENT_HANDLE),
    (ValueType::MessagingHandle, MESSAGING_HANDLE),
    (ValueType::SocialHandle, SOCIAL_HANDLE),
    (ValueType::RemoteAccessId, REMOTE_ACCESS_ID),
    (ValueType::AppId, APP_ID),
    (ValueType::UserAgent, USER_AGENT),
    (ValueType::AdAccount, AD_ACCOUNT),
    (ValueType::SmsSender, SMS_SENDER),
];

/// Forms of each type at least.
const FORMS_MIN: usize = 30;

/// Returns the difference between a line of the table and the result of normalisation.
fn difference(value_type: ValueType, line: &str) -> Option<String> {
    if let Some((written, normal)) = line.split_once(" => ") {
        return match Value::normalise(value_type, written) {
            Err(error) => Some(format!("{value_type} {line}: {error}")),
            Ok(value) if value.text() != normal => Some(format!("{value_type} {line}: {value}")),
            Ok(value) => Value::from_normalised(value.value_type(), normal)
                .err()
                .map(|error| format!("{value_type} {line}: not a fixed point: {error}")),
        };
    }
    let Some((written, hint)) = line.split_once(" =!") else {
        return Some(format!("{value_type} {line}: not a line of the table"));
    };
    match Value::normalise(value_type, written) {
        Ok(value) => Some(format!("{value_type} {line}: taken as {value}")),
        Err(error) if !error.to_string().contains(hint.trim_start()) => {
            Some(format!("{value_type} {line}: {error}"))
        }
        Err(_) => None,
    }
}

#[test]
fn each_form_from_the_field_has_its_one_normal_form_or_its_reason() {
    assert_eq!(TABLE.len(), ValueType::ALL.len());
    let mut differences = Vec::new();
    for (value_type, forms) in TABLE {
        let lines: Vec<&str> = forms.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines.len() >= FORMS_MIN, "{value_type} has {} forms", lines.len());
        differences.extend(lines.iter().filter_map(|line| difference(*value_type, line)));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_network_of_one_address_is_the_address() {
    for (written, normal) in [
        ("192.0.2.1/32", "192.0.2.1"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("::ffff:192.0.2.1/128", "192.0.2.1"),
    ] {
        let value = Value::normalise(ValueType::Cidr, written).unwrap();
        assert_eq!((value.value_type(), value.text()), (ValueType::Ip, normal));
        assert!(Value::from_normalised(ValueType::Cidr, written).is_err());
    }
}

#[test]
fn a_value_that_contradicts_its_declared_type_is_refused() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let (sha256, ether) = (&"a".repeat(64)[..], "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed");
    let genesis = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
    for (name, written, normal) in [
        ("md5", md5, &format!("md5:{md5}")[..]),
        ("SHA256", sha256, &format!("sha256:{sha256}")),
        ("sha-256", &format!("sha256:{sha256}"), &format!("sha256:{sha256}")),
        ("btc", genesis, &format!("btc:{genesis}")),
        ("eth", ether, &format!("eth:{ether}")),
        ("bsc", ether, &format!("bsc:{ether}")),
        ("ipv4", "192.0.2.1", "192.0.2.1"),
        ("ipv6_addr", "2001:DB8::1", "2001:db8::1"),
        ("iban", "DE44 5001 0517 5407 3249 31", "DE44500105175407324931"),
        ("telegram", "@Some_One", "telegram:@some_one"),
        ("domain", "Evil.example", "evil.example"),
    ] {
        let value = DeclaredType::from_name(name).unwrap().normalise(written).unwrap();
        assert_eq!(value.text(), normal, "{name} {written}");
    }
    for (name, written) in [
        ("sha256", md5),
        ("md5", sha256),
        ("sha256", &format!("md5:{md5}")),
        ("btc", ether),
        ("eth", genesis),
        ("trx", &format!("btc:{genesis}")),
        ("ipv4", "2001:db8::1"),
        ("ipv6", "192.0.2.1"),
        ("iban", "JP:0005123:1234567"),
        ("telegram", "x:@some_one"),
    ] {
        let declared = DeclaredType::from_name(name).unwrap();
        assert!(declared.normalise(written).is_err(), "{name} {written}");
    }
}
