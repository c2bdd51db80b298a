# Shows all that whoever runs it can find: $1 processes, $2 directories, $3 ports of loopback.
env
for process in $1; do
  echo "== $process"
  cat $process/environ $process/task/*/environ $process/cmdline | tr '\0' '\n'
  ls -l $process/fd
  for file in $process/fd/*; do [ -f $file ] && head -c 20000 $file; done
done
find $2 -xdev -type s
find $2 -xdev -type f -readable -exec head -c 20000 {} +
cat /proc/net/tcp /proc/net/unix
for port in $3; do (: </dev/tcp/127.0.0.1/$port) && echo "reached $port"; done
exec perl - $1 <<'PERL'
no warnings "portable";
for my $process (@ARGV) {
  open(my $maps, "<", "$process/maps") && open(my $memory, "<:raw", "$process/mem") or next;
  print "== memory of $process\n";
  while (<$maps>) {
    my ($at, $end) = /^(\w+)-(\w+) r/ ? (hex $1, hex $2) : next;
    while ($at < $end && sysseek($memory, $at, 0) && (my $read = sysread $memory, my $data, 1 << 20)) {
      $found{$1}++ while $data =~ /((?:sk-|hf[-_]|postgres\w*:\/\/)[\w:\/@.%?=&-]{12,200})/g;
      $at += $read;
    }
  }
}
print "$_\n" for keys %found;
PERL
