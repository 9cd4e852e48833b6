# A wall clock for servers under test, moved by the test: test/clock/moved_clock.c.
package MovedClock;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_REALTIME);
use Time::Local qw(timegm);

# new(LIBRARY, FILE, TIME, RATE): a clock that shows TIME ("2026-06-01T10:30:00") from now on.
sub new
{
	my ($class, $library, $file, $time, $rate) = @_;
	my $self = bless { library => $library, file => $file, rate => $rate // 1 }, $class;
	$self->set($time);
	return $self;
}

sub environment { my ($self) = @_; return (LD_PRELOAD => $self->{library}, MOVED_CLOCK => $self->{file}); }

sub _seconds { my ($time) = @_; my ($y, $mo, $d, $h, $mi, $s) = $time =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)$/ or die "no time: $time"; return timegm($s, $mi, $h, $d, $mo - 1, $y); }

# In place, so that who has it mapped sees it.
sub set
{
	my ($self, $time) = @_;
	my $moved = _seconds($time);
	$self->{real} = clock_gettime(CLOCK_REALTIME);
	$self->{moved} = $moved;
	open my $file, -e $self->{file} ? '+<' : '>', $self->{file} or die "$self->{file}: $!";
	syswrite $file, pack('q q d', int($self->{real} * 1e9), $moved * 1_000_000_000, $self->{rate});
	close $file;
	return;
}

sub now
{
	my ($self) = @_;
	my $now = $self->{moved} + (clock_gettime(CLOCK_REALTIME) - $self->{real}) * $self->{rate};
	return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime int $now);
}

1;
